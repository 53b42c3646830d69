package rehearse

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// block is some lines of text that are there or not as a whole. head tells blocks apart; tail may differ.
type block struct {
	head string
	tail []string
}

// diffBlocks compares two lists of blocks. Both are sorted.
func diffBlocks(exp, got []block) (diff []string) {
	write := func(mark string, b block) {
		for i, line := range append([]string{b.head}, b.tail...) {
			if i > 0 {
				line = "    " + line
			}
			diff = append(diff, mark+line)
		}
	}
	for len(exp) > 0 || len(got) > 0 {
		switch {
		case len(got) == 0 || len(exp) > 0 && exp[0].head < got[0].head:
			write("- ", exp[0])
			exp = exp[1:]
		case len(exp) == 0 || got[0].head < exp[0].head:
			write("+ ", got[0])
			got = got[1:]
		default:
			diff = append(diff, "  "+exp[0].head)
			for _, line := range exp[0].tail {
				if mark := "- "; slices.Contains(got[0].tail, line) {
					diff = append(diff, "      "+line)
				} else {
					diff = append(diff, mark+"    "+line)
				}
			}
			for _, line := range got[0].tail {
				if !slices.Contains(exp[0].tail, line) {
					diff = append(diff, "+     "+line)
				}
			}
			exp, got = exp[1:], got[1:]
		}
	}
	return diff
}

func compareBlocks(a, b block) int {
	return cmp.Or(strings.Compare(a.head, b.head), slices.Compare(a.tail, b.tail))
}

func sameBlocks(a, b []block) bool {
	return slices.EqualFunc(a, b, func(a, b block) bool { return compareBlocks(a, b) == 0 })
}

// compareAlerts compares the alerts of one name that fire.
func (r *testRun) compareAlerts(t alertTest) {
	at := r.start.Add(time.Duration(t.EvalTime))
	r.happen(at)
	var exp, got []block
	for _, a := range t.ExpAlerts {
		ls := maps.Clone(a.Labels)
		if ls == nil {
			ls = map[string]string{}
		}
		ls[alertd.LabelAlert] = t.AlertName
		exp = append(exp, alertBlock(labels.FromMap(ls), labels.FromMap(a.Annotations)))
	}
	for _, j := range r.order {
		if j.rule.Name != t.AlertName {
			continue
		}
		if j.rule.Occurrence { // others change at evaluations only
			j.desk.until(at)
			j.desk.turn(at, nil)
		}
		for _, a := range j.desk.machine.Alerts(j.desk.now) {
			if a.State.Active() {
				got = append(got, alertBlock(a.Labels, a.Annotations))
			}
		}
	}
	slices.SortFunc(exp, compareBlocks)
	slices.SortFunc(got, compareBlocks)
	if !sameBlocks(exp, got) {
		r.fail(t.line, diffBlocks(exp, got), "alert %s at %s", t.AlertName, t.EvalTime)
	}
}

func alertBlock(ls, annotations alertd.Labels) block {
	b := block{head: ls.String()}
	annotations.Range(func(l labels.Label) { b.tail = append(b.tail, l.Name+": "+strconv.Quote(l.Value)) })
	return b
}

// sampleOf is a sample as a test compares it.
type sampleOf struct {
	labels    alertd.Labels
	value     float64
	histogram string
}

func (s sampleOf) String() string {
	if s.histogram != "" {
		return s.labels.String() + " " + s.histogram
	}
	return s.labels.String() + " " + strconv.FormatFloat(s.value, 'g', -1, 64)
}

// compareSamples compares what an expression gives.
func (r *testRun) compareSamples(t exprTest) {
	vector, err := r.query(t.Expr, r.start.Add(time.Duration(t.EvalTime)))
	if err != nil {
		r.fail(t.line, nil, "expr %s at %s: %s", t.Expr, t.EvalTime, err)
		return
	}
	var exp, got []sampleOf
	for _, s := range vector {
		x := sampleOf{labels: s.Metric, value: s.F}
		if s.H != nil {
			x.histogram = s.H.TestExpression()
		}
		got = append(got, x)
	}
	for _, s := range t.ExpSamples {
		x, err := s.parse()
		if err != nil {
			r.fail(t.line, nil, "expr %s at %s: exp_samples: labels %s: %s", t.Expr, t.EvalTime, s.Labels, seriesError(err))
			return
		}
		exp = append(exp, x)
	}
	byLabels := func(a, b sampleOf) int { return labels.Compare(a.labels, b.labels) }
	slices.SortStableFunc(exp, byLabels)
	slices.SortStableFunc(got, byLabels)
	same := slices.EqualFunc(exp, got, func(a, b sampleOf) bool {
		return labels.Equal(a.labels, b.labels) && a.histogram == b.histogram && r.sameValue(a.value, b.value)
	})
	if same {
		return
	}
	blocks := func(list []sampleOf) (out []block) {
		for _, s := range list {
			out = append(out, block{head: s.labels.String(), tail: []string{strings.TrimPrefix(s.String(), s.labels.String()+" ")}})
		}
		slices.SortFunc(out, compareBlocks)
		return out
	}
	diff, why := diffBlocks(blocks(exp), blocks(got)), ""
	if !slices.ContainsFunc(diff, func(line string) bool { return line[0] != ' ' }) {
		why = ": NaN is not equal to NaN, as in promtool"
	}
	r.fail(t.line, diff, "expr %s at %s%s", t.Expr, t.EvalTime, why)
}

func (s expectedSample) parse() (sampleOf, error) {
	ls, err := promqlParser.ParseMetric(s.Labels)
	x := sampleOf{labels: ls, value: s.Value}
	if err != nil || s.Histogram == "" {
		return x, err
	}
	_, values, err := promqlParser.ParseSeriesDesc("{} " + s.Histogram)
	switch {
	case err != nil:
		return x, err
	case len(values) != 1 || values[0].Histogram == nil:
		return x, errors.New("histogram: want one, like {{schema:0 sum:5 count:4 buckets:[1 2 1]}}")
	}
	x.histogram = values[0].Histogram.TestExpression()
	x.value = 0
	return x, nil
}

// sameValue is equality of floats: NaN is not even equal to itself, as in promtool. A neighbour counts as equal where the file
// says fuzzy_compare.
func (r *testRun) sameValue(a, b float64) bool {
	return a == b || r.file.FuzzyCompare && (math.Nextafter(a, math.Inf(-1)) == b || math.Nextafter(a, math.Inf(1)) == b)
}

// compareTold compares everything that anybody was told.
func (r *testRun) compareTold() {
	exp := slices.Clone(*r.Notifications)
	slices.SortStableFunc(exp, func(a, b notification) int { return a.At.from(r.start).Compare(b.At.from(r.start)) })
	got := r.desk.told
	of, pairs := pair(len(exp), len(got), func(i, j int) bool { return exp[i].fits(&got[j], r.start) })
	if pairs == len(exp) && pairs == len(got) {
		return
	}
	// In the order of time, what was expected and did not come before what came instead.
	taken := map[int]bool{}
	for _, j := range of {
		taken[j] = true
	}
	var diff []string
	line, j := 0, 0
	others := func(until time.Time) {
		for ; j < len(got) && !got[j].At.After(until); j++ {
			if !taken[j] {
				diff = append(diff, mark("+ ", got[j].yaml(r.start))...)
			}
		}
	}
	for i := range exp {
		at := exp[i].At.from(r.start)
		others(at.Add(-1))
		if of[i] < 0 {
			diff = append(diff, mark("- ", exp[i].yaml(r.start))...)
			if line == 0 {
				line = exp[i].line
			}
		} else {
			diff = append(diff, fmt.Sprintf("  - at: %s, as expected in line %d", offset(at, r.start), exp[i].line))
		}
	}
	if len(got) > j {
		others(got[len(got)-1].At)
	}
	if line == 0 {
		line = r.line
	}
	r.fail(line, diff, "notifications: %d expected, %d sent, %d of them as expected", len(exp), len(got), pairs)
}

// pair finds as many pairs as there can be (augmenting paths, Kuhn 1955). of[i] is the partner of i, or -1.
func pair(n, m int, fits func(i, j int) bool) (of []int, pairs int) {
	of, by := slices.Repeat([]int{-1}, n), slices.Repeat([]int{-1}, m)
	for i := range n {
		seen := make([]bool, m)
		var find func(i int) bool
		find = func(i int) bool {
			for j := range m {
				if seen[j] || !fits(i, j) {
					continue
				}
				seen[j] = true
				if by[j] < 0 || find(by[j]) {
					of[i], by[j] = j, i
					return true
				}
			}
			return false
		}
		if find(i) {
			pairs++
		}
	}
	return of, pairs
}

// fits reports whether what was told is what the expectation describes.
func (n *notification) fits(t *Told, start time.Time) bool {
	if !n.At.from(start).Equal(t.At.Truncate(time.Millisecond)) || n.Receiver != "" && n.Receiver != t.Receiver ||
		n.Status != "" && n.Status != t.Status || n.Severity != "" && n.Severity != string(t.Severity) ||
		n.Reason != "" && n.Reason != string(t.Reason) {
		return false
	}
	if n.Alerts == nil {
		return true
	}
	_, pairs := pair(len(n.Alerts), len(t.Alerts), func(i, j int) bool { return n.Alerts[i].fits(&t.Alerts[j]) })
	return pairs == len(n.Alerts) && pairs == len(t.Alerts)
}

func (a *notifiedAlert) fits(t *alertd.Notified) bool {
	has := func(want map[string]string, ls alertd.Labels) bool {
		for name, value := range want {
			if ls.Get(name) != value {
				return false
			}
		}
		return true
	}
	return has(a.Labels, t.Labels) && has(a.Annotations, t.Annotations) && (a.State == "" || a.State == status(t))
}

func status(a *alertd.Notified) string {
	if a.State.Active() {
		return "firing"
	}
	return "resolved"
}

func mark(sign string, lines []string) []string {
	for i := range lines {
		lines[i] = sign + lines[i]
	}
	return lines
}

// offset writes an instant the way a test does, with the time of the day for people.
func offset(at, start time.Time) string {
	return fmt.Sprintf("%s  # %s", model.Duration(at.Sub(start)), at.UTC().Format("Mon 2006-01-02 15:04:05 MST"))
}

// yaml writes what was told as a test would expect it, ready to be copied.
func (t *Told) yaml(start time.Time) []string {
	out := []string{
		"- at: " + offset(t.At, start), "  receiver: " + t.Receiver, "  status: " + t.Status, "  reason: " + string(t.Reason), "  alerts:",
	}
	for i := range t.Alerts {
		a := &t.Alerts[i]
		line := "    - labels: " + flow(a.Labels.Map())
		if s := status(a); s != t.Status {
			line = "    - state: " + s
			out = append(out, line)
			line = "      labels: " + flow(a.Labels.Map())
		}
		out = append(out, line)
	}
	return out
}

func (n *notification) yaml(start time.Time) []string {
	out := []string{"- at: " + offset(n.At.from(start), start)}
	for _, f := range []struct{ key, value string }{
		{"receiver", n.Receiver}, {"status", n.Status}, {"severity", n.Severity}, {"reason", n.Reason},
	} {
		if f.value != "" {
			out = append(out, "  "+f.key+": "+f.value)
		}
	}
	if n.Alerts != nil {
		out = append(out, "  alerts:")
	}
	for _, a := range n.Alerts {
		dash := "    - "
		for _, f := range []struct{ key, value string }{{"state", a.State}, {"labels", flow(a.Labels)}, {"annotations", flow(a.Annotations)}} {
			if f.value != "" && f.value != "{}" {
				out = append(out, dash+f.key+": "+f.value)
				dash = "      "
			}
		}
	}
	return out
}

// flow writes a mapping in one line of YAML.
func flow(m map[string]string) string {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s: %s", name, scalar(m[name]))
	}
	return "{" + b.String() + "}"
}

// scalar quotes what YAML would take for something else.
func scalar(s string) string {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-' {
			return strconv.Quote(s)
		}
	}
	switch strings.ToLower(s) {
	case "", "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return strconv.Quote(s)
	}
	return s
}
