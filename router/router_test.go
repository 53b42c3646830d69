package router_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/matcher/parse"
	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"alertd"
	"alertd/router"
)

func matchers(t testing.TB, text string) []*amlabels.Matcher {
	t.Helper()
	ms, err := parse.Matchers("{" + text + "}")
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

// node is a route to a receiver; options change it.
func node(t testing.TB, receiver, match string, children ...*router.Route) *router.Route {
	t.Helper()
	return &router.Route{Receiver: receiver, Matchers: matchers(t, match), GroupBy: []string{"service"}, Routes: children}
}

func goOn(r *router.Route) *router.Route {
	r.Continue = true
	return r
}

func TestDecideWalksTheTree(t *testing.T) {
	root := node(t, "default", "",
		goOn(node(t, "audit", `team=~".+"`)),
		node(t, "db", `service=~"mysql|pg"`,
			node(t, "db-page", `severity="critical"`),
			node(t, "db-page-too", `severity="critical"`),
		),
		goOn(node(t, "page", `severity="critical"`)),
		goOn(node(t, "tickets", `severity="critical"`)),
		node(t, "quiet", `severity!="critical",team=""`),
	)
	root.Identify()
	for _, tt := range []struct {
		labels string
		want   []string // receiver and group key
	}{
		{`{service="web", team="x"}`, []string{`audit {}/{team=~".+"}:{service="web"}`}},
		{`{service="web"}`, []string{`quiet {}/{severity!="critical",team=""}:{service="web"}`}},
		{`{}`, []string{`quiet {}/{severity!="critical",team=""}:{}`}},
		{`{service="pg"}`, []string{`db {}/{service=~"mysql|pg"}:{service="pg"}`}},
		// The first matching child ends the search, below and beside.
		{`{service="pg", severity="critical"}`, []string{`db-page {}/{service=~"mysql|pg"}/{severity="critical"}:{service="pg"}`}},
		// Continue goes on to the siblings; those with equal matchers have groups of their own.
		{`{service="web", severity="critical"}`, []string{
			`page {}/{severity="critical"}:{service="web"}`,
			`tickets {}/{severity="critical"}#2:{service="web"}`,
		}},
		{`{service="mysql", severity="critical", team="x"}`, []string{
			`audit {}/{team=~".+"}:{service="mysql"}`,
			`db-page {}/{service=~"mysql|pg"}/{severity="critical"}:{service="mysql"}`,
		}},
	} {
		var got []string
		for _, d := range root.Decide(parseLabels(t, tt.labels)) {
			got = append(got, d.Receiver+" "+string(d.GroupKey))
			if p, _, _ := strings.Cut(string(d.GroupKey), ":"); strings.TrimSuffix(p, "#2") != d.Path {
				t.Errorf("%s: path %q of group key %q", tt.labels, d.Path, d.GroupKey)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.labels, diff)
		}
	}
}

func TestDecideFallsBackToTheRoot(t *testing.T) {
	root := node(t, "default", "", node(t, "page", `severity="critical"`))
	got := root.Decide(parseLabels(t, `{service="a"}`))
	if len(got) != 1 || got[0].Receiver != "default" || got[0].GroupKey != `{}:{service="a"}` {
		t.Errorf("got %+v", got)
	}
	if got := root.Routes[0].Decide(parseLabels(t, `{service="a"}`)); len(got) != 0 {
		t.Errorf("a node that does not match decided %+v", got)
	}
}

func TestDecideCarriesTheNode(t *testing.T) {
	r := &router.Route{
		Receiver: "x", GroupWait: 1, GroupInterval: 2, RepeatInterval: 3, Deliver: alertd.BusinessHours, Calendar: "berlin",
		MuteTimeIntervals: []string{"m"}, ActiveTimeIntervals: []string{"a"},
	}
	want := []router.Decision{{
		Path: "{}", Receiver: "x", GroupKey: "{}:{}", GroupLabels: labels.EmptyLabels(), GroupWait: 1, GroupInterval: 2, RepeatInterval: 3,
		Deliver: alertd.BusinessHours, Calendar: "berlin", Mute: []string{"m"}, Active: []string{"a"},
	}}
	got := r.Decide(labels.FromStrings("a", "b"))
	if diff := cmp.Diff(want, got, cmp.Comparer(labels.Equal)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestGroupLabels(t *testing.T) {
	ls := parseLabels(t, `{alertname="Down", service="api", zone="b"}`)
	for _, tt := range []struct {
		by   []string
		all  bool
		want string
	}{
		{nil, false, `{}`},
		{[]string{"zone", "alertname"}, false, `{alertname="Down", zone="b"}`},
		{[]string{"zone", "cluster"}, false, `{zone="b"}`},
		{nil, true, `{alertname="Down", service="api", zone="b"}`},
		{[]string{"zone"}, true, `{alertname="Down", service="api", zone="b"}`},
	} {
		r := &router.Route{GroupBy: tt.by, GroupByAll: tt.all}
		d := r.Decide(ls)[0]
		if d.GroupLabels.String() != tt.want || string(d.GroupKey) != "{}:"+tt.want {
			t.Errorf("%v %t: %s in %s, want %s", tt.by, tt.all, d.GroupLabels, d.GroupKey, tt.want)
		}
	}
}

func TestGroupKeyDoesNotDependOnTheOrderOfMatchers(t *testing.T) {
	a := node(t, "x", `b="1",a=~"2"`)
	b := node(t, "x", `a=~"2",b="1"`)
	ls := parseLabels(t, `{a="2", b="1"}`)
	if got, want := a.Decide(ls)[0].GroupKey, b.Decide(ls)[0].GroupKey; got != want {
		t.Errorf("%s differs from %s", got, want)
	}
}

func TestIdentifyIsUnique(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		root := randomTree(t, rt, 3)
		root.Matchers = nil
		root.Identify()
		seen := map[string]bool{}
		root.Walk(func(r *router.Route) {
			if seen[r.ID] {
				rt.Fatalf("id %q twice", r.ID)
			}
			seen[r.ID] = true
		})
	})
}

var names, values = []string{"a", "b", "c"}, []string{"", "1", "2"}

func randomLabels(t *rapid.T, what string) alertd.Labels {
	m := map[string]string{}
	for _, name := range names {
		if v := rapid.SampledFrom(values).Draw(t, what+" "+name); v != "" {
			m[name] = v
		}
	}
	return labels.FromMap(m)
}

func randomMatchers(t testing.TB, rt *rapid.T, atMost int) []*amlabels.Matcher {
	var ms []*amlabels.Matcher
	for range rapid.IntRange(0, atMost).Draw(rt, "matchers") {
		op := rapid.SampledFrom([]amlabels.MatchType{amlabels.MatchEqual, amlabels.MatchNotEqual, amlabels.MatchRegexp, amlabels.MatchNotRegexp}).Draw(rt, "op")
		m, err := amlabels.NewMatcher(op, rapid.SampledFrom(names).Draw(rt, "name"), rapid.SampledFrom(values).Draw(rt, "value"))
		if err != nil {
			t.Fatal(err)
		}
		ms = append(ms, m)
	}
	return ms
}

func randomTree(t testing.TB, rt *rapid.T, depth int) *router.Route {
	r := &router.Route{
		Receiver: fmt.Sprint(rapid.IntRange(0, 99).Draw(rt, "receiver")),
		Matchers: randomMatchers(t, rt, 2), Continue: rapid.Bool().Draw(rt, "continue"),
		GroupBy: rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID).Draw(rt, "by"),
	}
	if depth > 0 {
		for range rapid.IntRange(0, 3).Draw(rt, "children") {
			r.Routes = append(r.Routes, randomTree(t, rt, depth-1))
		}
	}
	return r
}

// TestDecideAgainstTheDefinition compares with the documented rule, written as plainly as possible and with the
// matching of Alertmanager itself.
func TestDecideAgainstTheDefinition(t *testing.T) {
	var wanted func(r *router.Route, ls model.LabelSet) []string
	wanted = func(r *router.Route, ls model.LabelSet) []string {
		if !amlabels.Matchers(r.Matchers).Matches(ls) {
			return nil
		}
		var all []string
		for _, child := range r.Routes {
			of := wanted(child, ls)
			all = append(all, of...)
			if of != nil && !child.Continue {
				break
			}
		}
		if all == nil {
			return []string{r.ID}
		}
		return all
	}
	rapid.Check(t, func(rt *rapid.T) {
		root := randomTree(t, rt, 3)
		root.Matchers = nil
		root.Identify()
		ls := randomLabels(rt, "alert")
		set := model.LabelSet{}
		for name, value := range ls.Map() {
			set[model.LabelName(name)] = model.LabelValue(value)
		}
		var got []string
		for _, d := range root.Decide(ls) {
			got = append(got, strings.TrimSuffix(string(d.GroupKey), ":"+d.GroupLabels.String()))
		}
		if diff := cmp.Diff(wanted(root, set), got); diff != "" {
			rt.Fatalf("%s: (-want +got)\n%s", ls, diff)
		}
	})
}

func parseLabels(t testing.TB, text string) alertd.Labels {
	t.Helper()
	ms, err := parse.Matchers(text)
	if err != nil {
		t.Fatal(err)
	}
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, m := range ms {
		b.Set(m.Name, m.Value)
	}
	return b.Labels()
}

func BenchmarkDecide(b *testing.B) {
	root := node(b, "default", "")
	for i := range 100 {
		root.Routes = append(root.Routes, node(b, "x", fmt.Sprintf(`service="s%d"`, i), node(b, "y", `severity="critical"`)))
	}
	root.Identify()
	ls := parseLabels(b, `{alertname="Down", service="s50", severity="critical", zone="b"}`)
	for b.Loop() {
		root.Decide(ls)
	}
}

func TestTrace(t *testing.T) {
	tree := node(t, "all", "",
		node(t, "db", `team="db"`, node(t, "db-pager", `severity="critical"`), goOn(node(t, "db-log", `severity=~"warning|critical"`)), node(t, "db-rest", `severity!=""`)),
		node(t, "late", ""),
		node(t, "never", `team="db"`),
	)
	tree.Identify()
	var got []string
	for _, s := range tree.Trace(parseLabels(t, `{team="db", severity="warning"}`)) {
		line := fmt.Sprintf("%d %s %s", s.Depth, s.Route.Receiver, s.Outcome)
		if s.Mismatch != nil {
			line += fmt.Sprintf(" %s has %q", s.Mismatch, s.Value)
		}
		got = append(got, line)
	}
	want := []string{
		"0 all passed on", "1 db passed on", `2 db-pager missed severity="critical" has "warning"`, "2 db-log taken", "2 db-rest taken",
		"1 late not tried", "1 never not tried",
	}
	if !slices.Equal(got, want) {
		t.Errorf("steps %q\nwant  %q", got, want)
	}
}

func TestTraceDecidesAsDecideDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tree := randomTree(t, rt, 3)
		tree.Matchers = nil
		tree.Identify()
		ls := randomLabels(rt, "alert")
		var got []router.Decision
		for _, s := range tree.Trace(ls) {
			if (s.Decision != nil) != (s.Outcome == router.Taken) || (s.Mismatch != nil) != (s.Outcome == router.Missed) {
				rt.Fatalf("step %+v", s)
			}
			if s.Mismatch != nil && s.Mismatch.Matches(ls.Get(s.Mismatch.Name)) {
				rt.Fatalf("%s is said not to match %s", s.Mismatch, ls)
			}
			if s.Decision != nil {
				got = append(got, *s.Decision)
			}
		}
		if want := tree.Decide(ls); !reflect.DeepEqual(got, want) {
			rt.Fatalf("%s: trace %+v, decide %+v", ls, got, want)
		}
	})
}
