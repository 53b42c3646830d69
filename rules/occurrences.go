package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"alertd"
)

// Rules on events: each event that is chosen is a finding, and there is nothing to compute. What chooses it are
// matchers, written as a selector, which promtool accepts,
//
//	# alertd: on: event
//	- alert: DeploymentCompleted
//	  expr: event{type="deployment.completed", env="prod"}
//
// or as fields of alertd's own: `type: deployment.completed` and `match: ['env="prod"']`.

const (
	// eventMetric is what the selectors of events name. No series has that name because of us, so such a rule, loaded
	// into Prometheus, is valid and never fires.
	eventMetric = "event"
	// standing is how long an occurrence stands when its rule does not say.
	standing = time.Hour
)

// occurrence reads a rule on events.
func (p *fileParser) occurrence(r *rule, alert string, f map[string]field) {
	p.refuse(f, "an occurrence", "remove it: one event is enough for `on: event`, there is nothing to compute", "for",
		"no_data", "on_error", "missing_after", "recover_expr")
	r.meta = &alertd.Rule{Name: alert, KeepFiringFor: p.duration(f["keep_firing_for"]), Occurrence: true}
	if r.meta.KeepFiringFor == 0 {
		r.meta.KeepFiringFor = standing
	}
	if on := p.text(f["on"]); on != "event" {
		p.fail(f["on"].value, fmt.Sprintf("on: %q is not known", on), "write `on: event`, or remove it and give an `expr`")
		return
	}
	if _, ok := f["expr"]; ok {
		p.refuse(f, "with an expr, an occurrence", `write it into the selector, as in event{type="deployment.completed", env="prod"}`, "type", "match")
		r.chosenBy = p.eventSelector(f["expr"])
	} else {
		r.chosenBy = p.eventFields(f)
	}
	r.text = (&parser.VectorSelector{Name: eventMetric, LabelMatchers: r.chosenBy}).String()
	p.templates(r)
	r.partition = whole("an occurrence is a finding by itself")
}

// eventSelector reads `event{type="…"}`.
func (p *fileParser) eventSelector(e field) []*labels.Matcher {
	const fix = `write one selector of events: event{type="deployment.completed"}, or event{type=~"deployment[.].+", env="prod"}`
	text := p.text(e)
	if strings.TrimSpace(text) == "" {
		p.fail(e.key, "an occurrence rule has an empty expr", fix)
		return nil
	}
	expr, ok := p.promql("expr", text, e)
	if !ok {
		return nil
	}
	s, ok := expr.(*parser.VectorSelector)
	if !ok || s.OriginalOffset != 0 || s.OriginalOffsetExpr != nil || s.Timestamp != nil || s.StartOrEnd != 0 || s.Anchored || s.Smoothed {
		p.fail(e.value, "expr of an occurrence rule is more than a selector", fix)
		return nil
	}
	isName := func(m *labels.Matcher) bool { return m.Name == alertd.LabelMetric }
	i := slices.IndexFunc(s.LabelMatchers, isName)
	if i < 0 || s.LabelMatchers[i].Type != labels.MatchEqual || s.LabelMatchers[i].Value != eventMetric {
		p.fail(e.value, "expr of an occurrence rule does not select events", fix)
		return nil
	}
	ms := slices.DeleteFunc(slices.Clone(s.LabelMatchers), isName)
	if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return m.Name == "type" && !m.Matches("") }) {
		p.fail(e.value, "expr of an occurrence rule takes events of every type", fix)
	}
	return ms
}

// eventFields reads `type` and `match`.
func (p *fileParser) eventFields(f map[string]field) []*labels.Matcher {
	kind := p.text(f["type"])
	base, isPrefix := strings.CutSuffix(kind, ".*")
	switch {
	case kind == "":
		at := f["on"].key
		if v, ok := f["type"]; ok {
			at = v.key
		}
		p.fail(at, "an occurrence rule has no type", "add `type: deployment.completed`, or `type: deployment.*`")
	case base == "" || strings.ContainsAny(base, "*> \t\n"):
		p.fail(f["type"].value, fmt.Sprintf("type %q is neither a type nor a prefix", kind), "write `deployment.completed`, or `deployment.*` for all below")
	}
	ms := []*labels.Matcher{{Type: labels.MatchEqual, Name: "type", Value: kind}}
	if isPrefix {
		below := strings.ReplaceAll(regexp.QuoteMeta(base+"."), `\.`, "[.]") + ".*"
		ms[0] = labels.MustNewMatcher(labels.MatchRegexp, "type", below)
	}
	for _, n := range p.matchItems(f["match"]) {
		ms = append(ms, p.matchers(n)...)
	}
	return ms
}

// matchItems takes one matcher or a list of them.
func (p *fileParser) matchItems(f field) []*yaml.Node {
	if f.value != nil && f.value.Kind == yaml.ScalarNode && !isNull(f.value) {
		return []*yaml.Node{f.value}
	}
	return p.items(f, "match")
}

func (p *fileParser) matchers(n *yaml.Node) []*labels.Matcher {
	const fix = "write matchers as in PromQL: 'service=~\"api|web\"'"
	if n.Kind != yaml.ScalarNode {
		p.fail(n, "a matcher is not text", fix)
		return nil
	}
	text := strings.TrimSpace(n.Value)
	if !strings.HasPrefix(text, "{") {
		text = "{" + text + "}"
	}
	// A selector must select something, which for matchers on one occurrence is no rule of ours.
	ms, err := promqlParser.ParseMetricSelector(strings.Replace(text, "{", `{__name__="`+eventMetric+`",`, 1))
	if err != nil {
		p.fail(n, fmt.Sprintf("matcher %s: %s", n.Value, parseErrorText(err)), fix)
		return nil
	}
	return slices.DeleteFunc(ms, func(m *labels.Matcher) bool { return m.Name == alertd.LabelMetric && m.Value == eventMetric })
}

// chooses reports whether the rule is about an occurrence. Its matchers see what its templates see: the labels, the
// type and the message.
func (r *rule) chooses(o *alertd.Occurrence) bool {
	for _, m := range r.chosenBy {
		var v string
		switch m.Name {
		case "type":
			v = o.Type
		case "message":
			v = o.Message
		default:
			v = o.Labels.Get(m.Name)
		}
		if !m.Matches(v) {
			return false
		}
	}
	return true
}

// Observe matches occurrences against the occurrence rules. Each that matches gives a verdict at once. seq is the
// message's sequence in the EVENTS stream.
func (e *Evaluator) Observe(now time.Time, seq uint64, occs []alertd.Occurrence) []alertd.Verdict {
	e.clock(now)
	e.heard(seq)
	e.highest = max(e.highest, seq)
	var out []alertd.Verdict
	for i := range occs {
		for _, r := range e.rules {
			if r.chosenBy != nil && r.chooses(&occs[i]) {
				out = append(out, e.occurred(r, &occs[i], now))
			}
		}
	}
	return out
}

// occurred is the verdict on one occurrence. Its time is the event's own, unless that is missing or more than ten
// minutes ahead: unlike a sample it is not refused then, since there will be no other.
func (e *Evaluator) occurred(r *ruleRun, o *alertd.Occurrence, now time.Time) alertd.Verdict {
	at := o.Time.UTC()
	if at.IsZero() || at.After(now.Add(maxAhead)) {
		at = now.UTC()
	}
	builder := labels.NewBuilder(o.Labels)
	builder.Set("type", o.Type)
	builder.Set("message", o.Message)
	x := e.expander(r, promql.Sample{Metric: builder.Labels(), F: 1}, at)
	finding := alertd.Finding{Value: 1, Trace: o.Trace, ValidFor: o.ValidFor}
	finding.Labels = x.labels(o.Labels)
	finding.Annotations = x.annotations(nil)
	return alertd.Verdict{Rule: r.meta, At: at, True: []alertd.Finding{finding}}
}
