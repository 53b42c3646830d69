package rehearse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/matcher/parse"
	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"

	"alertd"
)

// Tests is a file of unit tests: what promtool calls one, and on top of it `routing_file`, and in a test `events`,
// `silences` and `notifications`.
type Tests struct {
	Name        string   // of the file, for positions
	RuleFiles   []string // as they are written: names or patterns, relative to the file
	RoutingFile string   // as it is written; empty: not said
	file        testFile
}

// Names of keys and their order are promtool's.
type testFile struct {
	RuleFiles          []string   `yaml:"rule_files"`
	EvaluationInterval span       `yaml:"evaluation_interval"`
	GroupEvalOrder     []string   `yaml:"group_eval_order"`
	FuzzyCompare       bool       `yaml:"fuzzy_compare"`
	Tests              []testCase `yaml:"tests"`

	RoutingFile string `yaml:"routing_file"`
}

type testCase struct {
	Name           string          `yaml:"name"`
	Interval       span            `yaml:"interval"`
	InputSeries    []inputSeries   `yaml:"input_series"`
	AlertRuleTests []alertTest     `yaml:"alert_rule_test"`
	ExprTests      []exprTest      `yaml:"promql_expr_test"`
	ExternalLabels externalLabels  `yaml:"external_labels"`
	ExternalURL    string          `yaml:"external_url"`
	Start          startTime       `yaml:"start_timestamp"`
	Events         []inputEvent    `yaml:"events"`
	Silences       []inputSilence  `yaml:"silences"`
	Notifications  *[]notification `yaml:"notifications"` // nil: not tested

	line int
}

type inputSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`

	line int
}

type alertTest struct {
	EvalTime  span            `yaml:"eval_time"`
	AlertName string          `yaml:"alertname"`
	ExpAlerts []expectedAlert `yaml:"exp_alerts"`

	line int
}

type expectedAlert struct {
	Labels      map[string]string `yaml:"exp_labels"`
	Annotations map[string]string `yaml:"exp_annotations"`
}

type exprTest struct {
	Expr       string           `yaml:"expr"`
	EvalTime   span             `yaml:"eval_time"`
	ExpSamples []expectedSample `yaml:"exp_samples"`

	line int
}

type expectedSample struct {
	Labels    string  `yaml:"labels"`
	Value     float64 `yaml:"value"`
	Histogram string  `yaml:"histogram"` // where there is one, the value does not count
}

// inputEvent is something that happens, for rules on events.
type inputEvent struct {
	At      instant           `yaml:"at"`
	Type    string            `yaml:"type"`
	Service string            `yaml:"service"`
	Labels  map[string]string `yaml:"labels"`
	Message string            `yaml:"message"`

	line int
}

// inputSilence is a silence that somebody has set before the test begins.
type inputSilence struct {
	From     instant  `yaml:"from"` // default: the start
	Until    instant  `yaml:"until"`
	Matchers []string `yaml:"matchers"` // as in routing.yaml

	line int
}

// silence is what the engine knows it as.
func (s *inputSilence) silence(start time.Time) (alertd.Silence, error) {
	out := alertd.Silence{StartsAt: s.From.from(start), EndsAt: s.Until.from(start), Comment: "test"}
	for _, text := range s.Matchers {
		list, err := parse.Matchers(text)
		if err != nil {
			return out, fmt.Errorf("%q is not a matcher: %w; write it like service=\"db\"", text, err)
		}
		for _, m := range list {
			out.Matchers = append(out.Matchers, alertd.Matcher{
				Name: m.Name, Value: m.Value,
				IsRegex: m.Type == amlabels.MatchRegexp || m.Type == amlabels.MatchNotRegexp,
				IsEqual: m.Type == amlabels.MatchEqual || m.Type == amlabels.MatchRegexp,
			})
		}
	}
	return out, nil
}

// notification is what a receiver is to be told. What is left out may be anything.
type notification struct {
	At       instant         `yaml:"at"`
	Receiver string          `yaml:"receiver"`
	Status   string          `yaml:"status"`
	Severity string          `yaml:"severity"`
	Reason   string          `yaml:"reason"`
	Alerts   []notifiedAlert `yaml:"alerts"`

	line int
}

// notifiedAlert has at least these labels and annotations.
type notifiedAlert struct {
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
	State       string            `yaml:"state"` // firing or resolved
}

// externalLabels reads a mapping; [labels.Labels] as such does not know this version of the YAML library.
type externalLabels struct{ labels.Labels }

// UnmarshalYAML implements yaml.Unmarshaler.
func (l *externalLabels) UnmarshalYAML(n *yaml.Node) error {
	var m map[string]string
	if err := n.Decode(&m); err != nil {
		return err
	}
	l.Labels = labels.FromMap(m)
	return nil
}

// span is a duration that knows where a mistake in it stands.
type span time.Duration

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *span) UnmarshalYAML(n *yaml.Node) error {
	d, err := model.ParseDuration(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is not a duration; write for example 1m30s", n.Line, n.Value)
	}
	*s = span(d)
	return nil
}

func (s span) String() string { return model.Duration(s).String() }

// startTime is when a test begins, and when the offsets in it count from: the epoch where nothing is said.
type startTime struct{ time.Time }

// UnmarshalYAML implements yaml.Unmarshaler. It takes RFC 3339 and Unix seconds.
func (t *startTime) UnmarshalYAML(n *yaml.Node) error {
	if seconds, err := strconv.ParseFloat(n.Value, 64); err == nil {
		t.Time = time.UnixMilli(int64(seconds * 1000)).UTC()
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, n.Value)
	if err != nil {
		return fmt.Errorf("line %d: start_timestamp %q is neither RFC 3339 (2026-01-16T17:00:00+01:00) nor Unix seconds", n.Line, n.Value)
	}
	t.Time = at.UTC()
	return nil
}

func (t startTime) get() time.Time {
	if t.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return t.Time
}

// instant is a time in a test: an offset from its start, or a time of the day.
type instant struct {
	offset time.Duration
	wall   time.Time
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (i *instant) UnmarshalYAML(n *yaml.Node) error {
	if at, err := time.Parse(time.RFC3339Nano, n.Value); err == nil {
		i.wall = at.UTC()
		return nil
	}
	d, err := model.ParseDuration(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is neither an offset from the start (5m, 1h30m) nor a time (RFC 3339)", n.Line, n.Value)
	}
	i.offset = time.Duration(d)
	return nil
}

func (i instant) from(start time.Time) time.Time {
	if !i.wall.IsZero() {
		return i.wall
	}
	return start.Add(i.offset)
}

// ParseTests reads a file of unit tests. The name is for positions.
func ParseTests(name string, data []byte) (*Tests, error) {
	t := &Tests{Name: name}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&t.file); err != nil && !errors.Is(err, io.EOF) {
		return nil, yamlError(name, err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, yamlError(name, err)
	}
	t.RuleFiles, t.RoutingFile = t.file.RuleFiles, t.file.RoutingFile
	if t.file.EvaluationInterval == 0 {
		t.file.EvaluationInterval = span(time.Minute)
	}
	t.locate(&doc)
	seen := map[string]bool{}
	for _, g := range t.file.GroupEvalOrder {
		if seen[g] {
			return nil, fmt.Errorf("%s:%d: group %q comes twice in group_eval_order; remove one", name, lineOf(&doc, "group_eval_order"), g)
		}
		seen[g] = true
	}
	return t, t.check()
}

// check refuses what promtool refuses, and what cannot be meant.
func (t *Tests) check() error {
	var errs []error
	fail := func(line int, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s:%d: %s", t.Name, line, fmt.Sprintf(format, args...)))
	}
	if t.file.EvaluationInterval < 0 {
		fail(1, "evaluation_interval is negative")
	}
	for i := range t.file.Tests {
		c := &t.file.Tests[i]
		for _, e := range c.Events {
			if e.Type == "" {
				fail(e.line, "an event has no type; write type: deployment.completed")
			}
			if at := e.At.from(c.Start.get()); at.Before(c.Start.get()) {
				fail(e.line, "the event is before the start of the test")
			}
		}
		if c.Notifications == nil {
			continue
		}
		for _, n := range *c.Notifications {
			if at := n.At.from(c.Start.get()); at.Before(c.Start.get()) {
				fail(n.line, "the notification is before the start of the test")
			}
			if n.Status != "" && n.Status != "firing" && n.Status != "resolved" {
				fail(n.line, "status %q is neither firing nor resolved", n.Status)
			}
			for _, a := range n.Alerts {
				if a.State != "" && a.State != "firing" && a.State != "resolved" {
					fail(n.line, "state %q of an alert is neither firing nor resolved", a.State)
				}
			}
		}
	}
	return errors.Join(errs...)
}

// NeedsRouting reports whether a test asks what people are told.
func (t *Tests) NeedsRouting() bool {
	for i := range t.file.Tests {
		if t.file.Tests[i].Notifications != nil {
			return true
		}
	}
	return false
}

// yamlError says a mistake with its place, and without the names of our types.
func yamlError(name string, err error) error {
	var all []string
	if e, ok := errors.AsType[*yaml.TypeError](err); ok {
		all = e.Errors
	} else {
		all = []string{strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	var errs []error
	for _, text := range all {
		text = unknownField.ReplaceAllString(text, "unknown field $1")
		line := "1"
		if rest, ok := strings.CutPrefix(text, "line "); ok {
			if digits, what, ok := strings.Cut(rest, ": "); ok {
				line, text = digits, what
			}
		}
		if m := wrongShape.FindStringSubmatch(text); m != nil {
			text = misfit(m[1], m[2], m[3])
		}
		errs = append(errs, fmt.Errorf("%s:%s: %s", name, line, text))
	}
	return errors.Join(errs...)
}

var (
	unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)
	wrongShape   = regexp.MustCompile("^cannot unmarshal !!(\\w+)(?: `(.*)`)? into (\\S+)$")
)

// misfit says what stands where something else has to, and what that looks like. The words are those of the YAML library:
// kind is a tag, text the value where it is short, and into a type of Go's.
func misfit(kind, text, into string) string {
	found := strconv.Quote(text)
	switch {
	case kind == "map":
		found = "a mapping"
	case kind == "seq":
		found = "a list"
	case text == "":
		found = "nothing"
	}
	element, list := strings.CutPrefix(strings.TrimPrefix(into, "*"), "[]")
	want := shapes[element[strings.LastIndexByte(element, '.')+1:]]
	switch {
	case want == "":
		return found + " cannot stand here"
	case list:
		want = "a list of " + want
	}
	return fmt.Sprintf("%s cannot stand here; write %s", found, want)
}

// shapes are what the parts of a file look like, by the name of their type.
var shapes = map[string]string{
	"testCase":          "{name: …, interval: 1m, input_series: […], alert_rule_test: […]}",
	"inputSeries":       "{series: 'up{job=\"a\"}', values: '1 0x9'}",
	"alertTest":         "{eval_time: 5m, alertname: …, exp_alerts: […]}",
	"expectedAlert":     "{exp_labels: {…}, exp_annotations: {…}}",
	"exprTest":          "{expr: …, eval_time: 5m, exp_samples: […]}",
	"expectedSample":    "{labels: 'up{job=\"a\"}', value: 1}",
	"inputEvent":        "{at: 5m, type: deployment.completed, service: …}",
	"inputSilence":      "{from: 5m, until: 1h, matchers: ['alertname=\"…\"']}",
	"notification":      "{at: 5m, receiver: …, status: firing, alerts: […]}",
	"notifiedAlert":     "{labels: {alertname: …}, state: firing}",
	"map[string]string": "{name: value}",
	"float64":           "a number",
	"bool":              "true or false",
	"string":            "a text",
}

// locate notes in which line everything stands that can fail.
func (t *Tests) locate(doc *yaml.Node) {
	for i := range t.file.Tests {
		c := &t.file.Tests[i]
		c.line = lineOf(doc, "tests", i)
		for j := range c.InputSeries {
			c.InputSeries[j].line = lineOf(doc, "tests", i, "input_series", j)
		}
		for j := range c.AlertRuleTests {
			c.AlertRuleTests[j].line = lineOf(doc, "tests", i, "alert_rule_test", j)
		}
		for j := range c.ExprTests {
			c.ExprTests[j].line = lineOf(doc, "tests", i, "promql_expr_test", j)
		}
		for j := range c.Silences {
			c.Silences[j].line = lineOf(doc, "tests", i, "silences", j)
		}
		for j := range c.Events {
			c.Events[j].line = lineOf(doc, "tests", i, "events", j)
		}
		if c.Notifications != nil {
			for j := range *c.Notifications {
				(*c.Notifications)[j].line = lineOf(doc, "tests", i, "notifications", j)
			}
		}
	}
}

// lineOf is where the value at a path of keys and indexes stands, or the last one on the way that can be found.
func lineOf(n *yaml.Node, path ...any) int {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	line := max(n.Line, 1)
	for _, step := range path {
		for n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		var next *yaml.Node
		switch step := step.(type) {
		case int:
			if n.Kind == yaml.SequenceNode && step < len(n.Content) {
				next = n.Content[step]
			}
		case string:
			for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == step {
					next = n.Content[i+1]
				}
			}
		}
		if next == nil {
			return line
		}
		n, line = next, max(next.Line, 1)
	}
	return line
}
