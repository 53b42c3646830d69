package rules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/template"
	"go.yaml.in/yaml/v3"

	"alertd"
)

// File is one rule file as read from disk or embedded.
type File struct {
	Name string // as errors and rule ids show it
	Data []byte
}

const (
	// maxRules bounds what aliases in a small file can blow up to.
	maxRules = 100_000
	// maxAhead is how far a clock may be ahead of ours before we stop believing it.
	maxAhead = 10 * time.Minute
	// defaultInterval is that of groups that do not say.
	defaultInterval = time.Minute
)

// Parse checks all files. The error joins every problem, each as "file:line:col: what: fix"; with any there is no
// set. Files without groups are fine.
func Parse(files []File) (*Set, error) {
	var (
		set   Set
		errs  []error
		count int
		names = make(map[string]bool)
	)
	for _, f := range files {
		p := fileParser{reader: reader{file: f.Name, lines: strings.Split(string(f.Data), "\n")}, budget: maxRules - count}
		if names[f.Name] {
			p.failAt(1, 1, "a second file of that name", "rename one of them, since rules are known by file, group and name")
		}
		names[f.Name] = true
		groups := p.file(f.Data)
		for _, g := range groups {
			count += len(g.rules)
		}
		set.groups = append(set.groups, groups...)
		slices.SortStableFunc(p.problems, func(a, b *problem) int {
			return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
		})
		for _, problem := range p.problems {
			errs = append(errs, problem)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &set, nil
}

type fileParser struct {
	reader
	budget     int
	directives []directive // not claimed yet
}

func (p *fileParser) file(src []byte) []*group {
	root := p.document(src)
	if isNull(root) {
		return nil
	}
	p.findDirectives(root)
	fields := p.fields(root, "a rule file", append([]string{"groups"}, fileSettings...)...)
	lookbacks := p.lookbacks(p.settings(root, "the file's groups", fields, fileSettings...)["lookbacks"])
	var groups []*group
	for _, n := range p.items(fields["groups"], "groups") {
		g := p.group(n, lookbacks)
		if slices.ContainsFunc(groups, func(o *group) bool { return o.name == g.name }) && g.name != "" {
			p.fail(n, fmt.Sprintf("group %q is there twice in this file", g.name), "rename one of them or put their rules together")
		}
		groups = append(groups, g)
	}
	p.strays()
	return groups
}

func (p *fileParser) group(n *yaml.Node, lookbacks map[string]time.Duration) *group {
	f := p.fields(n, "a group", append([]string{"name", "interval", "query_offset", "limit", "labels", "rules"}, groupSettings...)...)
	f = p.settings(n, "a group", f, groupSettings...)
	g := &group{
		file: p.reader.file, name: p.text(f["name"]), interval: p.duration(f["interval"]),
		queryOffset: p.duration(f["query_offset"]), limit: p.count(f["limit"]),
		lookback: p.duration(f["lookback"]), lookbacks: lookbacks, patience: p.patience(f, patience{}),
	}
	g.lateness = p.lateness(f["lateness"], cmp.Or(g.interval, defaultInterval))
	if g.name == "" {
		p.fail(n, "a group has no name", "add `name: something`")
	}
	common := p.ruleLabels(f["labels"])
	seen := make(map[string]int)
	for _, rn := range p.items(f["rules"], "rules") {
		if p.budget--; p.budget < 0 {
			p.fail(rn, fmt.Sprintf("more than %d rules", maxRules), "split the files over several daemons")
			return g
		}
		r := p.rule(rn, g, common)
		if r == nil {
			continue
		}
		if r.meta != nil {
			r.meta.ID = g.file + ":" + g.name + ":" + r.meta.Name
			if seen[r.meta.Name]++; seen[r.meta.Name] > 1 {
				r.meta.ID += fmt.Sprintf("#%d", seen[r.meta.Name])
			}
		}
		g.rules = append(g.rules, r)
	}
	return g
}

func (p *fileParser) rule(n *yaml.Node, g *group, common []pair) *rule {
	if n.Kind != yaml.MappingNode {
		p.fail(n, "a rule is not a mapping", "write `alert: Name` and `expr: …` below the dash")
		return nil
	}
	f := p.fields(n, "a rule",
		"record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations", "on", "type", "match",
		"no_data", "on_error", "missing_after", "recover_expr")
	f = p.settings(n, "a rule", f, ruleSettings...)
	r := &rule{group: g, line: n.Line, column: n.Column, record: p.text(f["record"])}
	alert := p.text(f["alert"])
	r.labels = p.ruleLabels(f["labels"])
	for _, l := range common {
		if !slices.ContainsFunc(r.labels, func(o pair) bool { return o.name == l.name }) {
			r.labels = append(r.labels, l)
		}
	}
	slices.SortFunc(r.labels, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	r.annotations = p.texts(f["annotations"], "annotations")

	switch {
	case r.record != "" && alert != "":
		p.fail(n, "a rule has both alert and record", "make two rules of it")
		return nil
	case r.record == "" && alert == "":
		p.fail(n, "a rule has neither alert nor record", "add `alert: Name`, or `record: metric:name` to store a series")
		return nil
	case r.record != "":
		p.recording(r, f)
	case !isNull(f["on"].value):
		p.occurrence(r, alert, f)
	default:
		p.alerting(r, alert, f)
	}
	return r
}

// refuse complains about fields that this kind of rule does not have.
func (p *fileParser) refuse(f map[string]field, kind, fix string, names ...string) {
	for _, name := range names {
		if v, ok := f[name]; ok {
			p.fail(v.key, fmt.Sprintf("%s rule has %q", kind, name), fix)
		}
	}
}

func (p *fileParser) recording(r *rule, f map[string]field) {
	p.refuse(f, "a recording", "remove it: a recording rule stores a series and alerts nobody",
		"for", "keep_firing_for", "annotations", "on", "type", "match", "no_data", "on_error", "missing_after", "recover_expr")
	if !model.UTF8Validation.IsValidMetricName(r.record) || strings.ContainsAny(r.record, "{}") {
		p.fail(f["record"].value, fmt.Sprintf("%q is no name for a metric", r.record), "write it like job:errors:rate5m; labels go below `labels`")
	}
	p.expression(r, f["expr"])
	r.partition = whole("recording rules are evaluated at ticks only")
}

func (p *fileParser) alerting(r *rule, alert string, f map[string]field) {
	p.refuse(f, "an alerting", "remove it, or add `on: event` for a rule that matches occurrences", "type", "match")
	r.meta = &alertd.Rule{Name: alert, For: p.duration(f["for"]), KeepFiringFor: p.duration(f["keep_firing_for"])}
	patient := p.patience(f, r.group.patience)
	r.meta.NoData, r.meta.OnError = patient.noData, patient.onError
	r.meta.MissingFor = time.Duration(patient.missingAfter) * cmp.Or(r.group.interval, defaultInterval)
	p.expression(r, f["expr"])
	p.recovery(r, f["recover_expr"])
	p.templates(r)
	if r.expr != nil {
		r.selectors, r.metrics = r.uses(r.expr, r.recover)
		p := PartitionOf(r.expr)
		if r.recover != nil {
			p = p.meet(PartitionOf(r.recover), "expr and recover_expr keep no label in common")
		}
		r.partition = keyLabels(p, r)
	}
}

// ruleLabels reads labels, which unlike annotations cannot have every name.
func (p *fileParser) ruleLabels(f field) []pair {
	out := p.texts(f, "labels")
	for _, l := range out {
		if l.name == alertd.LabelMetric {
			p.fail(l.node, "label __name__ cannot be set", "remove it; an alert's name is `alert`, a recorded metric's is `record`")
		}
	}
	for i := range out {
		if m := oneLabel.FindStringSubmatch(out[i].value); m != nil {
			out[i].copies = m[1]
		}
	}
	return out
}

// promqlParser reads what Prometheus reads without feature flags.
var promqlParser = parser.NewParser(parser.Options{})

func parseErrorText(err error) string {
	if list, ok := errors.AsType[parser.ParseErrors](err); ok && len(list) > 0 {
		return list[0].Err.Error()
	}
	return err.Error()
}

func (p *fileParser) expression(r *rule, e field) {
	text := p.text(e)
	if strings.TrimSpace(text) == "" {
		if e.value == nil || e.value.Kind == yaml.ScalarNode {
			p.failAt(r.line, r.column, "a rule has no expr", "add `expr:` with a PromQL expression, or `on: event` and a `type`")
		}
		return
	}
	expr, ok := p.promql("expr", text, e)
	if !ok {
		return
	}
	r.expr, r.text = expr, expr.String()
	r.locate = func(off int) (int, int) { return p.locate(e.value, off) }
	r.selectors, r.metrics = r.uses(expr, nil)
}

// recovery reads the condition without which nothing that fires ends.
func (p *fileParser) recovery(r *rule, e field) {
	text := p.text(e)
	if strings.TrimSpace(text) == "" {
		return
	}
	if expr, ok := p.promql("recover_expr", text, e); ok {
		r.recover, r.recoverText = expr, expr.String()
		r.meta.Recovers = true
	}
}

// promql reads an expression that a rule can be evaluated by.
func (p *fileParser) promql(name, text string, e field) (parser.Expr, bool) {
	expr, err := promqlParser.ParseExpr(text)
	if err != nil {
		list, ok := errors.AsType[parser.ParseErrors](err)
		if !ok || len(list) == 0 {
			p.fail(e.value, name+": "+err.Error(), "correct the PromQL expression")
			return nil, false
		}
		for _, pe := range list {
			line, column := p.locate(e.value, int(pe.PositionRange.Start))
			p.failAt(line, column, name+": "+pe.Err.Error(), "correct the PromQL expression there")
		}
		return nil, false
	}
	if t := expr.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		p.fail(e.value, fmt.Sprintf("%s gives a %s", name, parser.DocumentedType(t)), "a rule needs an instant vector: put a function such as rate() or max_over_time() around the range")
		return nil, false
	}
	return expr, true
}

// uses are the selectors of the rule's expressions, in the order in which they stand, and their metrics.
func (r *rule) uses(expr, recovery parser.Expr) ([]use, []string) {
	out, metrics := uses(expr)
	if recovery != nil {
		out, metrics = addUses(out, metrics, recovery)
	}
	for i := range out {
		out[i].delta = r.group.believes(out[i].name)
	}
	return out, metrics
}

// uses lists the selectors of an expression in the order in which they stand.
func uses(expr parser.Expr) ([]use, []string) { return addUses(nil, nil, expr) }

func addUses(out []use, metrics []string, expr parser.Expr) ([]use, []string) {
	var ranged time.Duration
	isRange := false
	parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
		switch s := n.(type) {
		case *parser.MatrixSelector:
			ranged, isRange = s.Range, true
		case *parser.VectorSelector:
			u := use{
				matchers: s.LabelMatchers, key: matchersKey(s.LabelMatchers), pos: int(s.PosRange.Start),
				instant: !isRange, counted: counts(path),
			}
			u.back, u.fixed, u.until = reach(s, path, ranged)
			metric := "{" + u.key + "}"
			for _, m := range s.LabelMatchers {
				if m.Name == alertd.LabelMetric && m.Type == labels.MatchEqual {
					u.name, metric = m.Value, m.Value
				}
			}
			if u.slot = slices.Index(metrics, metric); u.slot < 0 {
				u.slot = len(metrics)
				metrics = append(metrics, metric)
			}
			out = append(out, u)
			ranged, isRange = 0, false
		}
		return nil
	})
	return out, metrics
}

// counts reports whether the nearest function above a selector turns a running total into a rate or a number, so that
// the single values of its series say little.
func counts(path []parser.Node) bool {
	for _, above := range slices.Backward(path) {
		if call, ok := above.(*parser.Call); ok {
			return slices.Contains([]string{"rate", "irate", "increase", "resets", "changes", "count_over_time", "present_over_time", "absent_over_time"}, call.Func.Name)
		}
	}
	return false
}

func matchersKey(ms []*labels.Matcher) string {
	texts := make([]string, len(ms))
	for i, m := range ms {
		texts[i] = m.String()
	}
	slices.Sort(texts)
	return strings.Join(slices.Compact(texts), ",")
}

// oneLabel is a template that copies a label.
var oneLabel = regexp.MustCompile(`^\{\{-?\s*\$labels\.([a-zA-Z_][a-zA-Z0-9_]*)\s*-?\}\}$`)

// keyLabels takes from the partition what the rule's own labels overwrite. Two series that differ only there would
// give one alert twice, which only an evaluation that sees both can tell. It also makes the scope of a finding a
// function of the finding's own labels. A template that copies the label that it is for changes nothing.
func keyLabels(p Partition, r *rule) Partition {
	if len(r.selectors) == 0 {
		return whole("it reads no series")
	}
	drop := []string{alertd.LabelAlert}
	for _, l := range r.labels {
		if l.copies != l.name {
			drop = append(drop, l.name)
		}
	}
	return p.without("the rule's own labels overwrite the only label that is kept", drop...)
}

// definitions are the variables that Prometheus gives to templates, and $message for occurrences.
func (r *rule) definitions() string {
	const all = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"
	if r.meta.Occurrence {
		return all + "{{$message := .Labels.message}}"
	}
	return all
}

// templates checks that the texts of a rule can be expanded, as far as that can be known beforehand.
func (p *fileParser) templates(r *rule) {
	for _, list := range [][]pair{r.labels, r.annotations} {
		for _, t := range list {
			if !strings.Contains(t.value, "{{") {
				continue
			}
			r.queries = append(r.queries, queriesOf(t.value)...)
			data := template.AlertTemplateData(map[string]string{}, map[string]string{}, "", promql.Sample{})
			err := template.NewTemplateExpander(context.Background(), r.definitions()+t.value, "t", data, 0, nil, nil, nil).ParseTest()
			if err == nil {
				continue
			}
			what := strings.TrimPrefix(err.Error(), "template: t:")
			if _, rest, ok := strings.Cut(what, ": "); ok {
				what = rest
			}
			p.fail(t.node, fmt.Sprintf("template of %s: %s", t.name, what), "correct the template; a label is {{ $labels.service }}, the value {{ $value }}")
		}
	}
}
