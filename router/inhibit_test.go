package router_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"alertd"
	"alertd/router"
)

func TestInhibitedBy(t *testing.T) {
	rule := router.InhibitRule{Source: matchers(t, `severity="critical"`), Target: matchers(t, `severity=~"warning|info"`), Equal: []string{"service", "zone"}}
	both := router.InhibitRule{Source: matchers(t, `kind=~"node|both"`), Target: matchers(t, `kind=~"pod|both"`)}
	for _, tt := range []struct {
		name    string
		rules   router.Inhibitions
		target  string
		sources []string
		want    int // index in sources, or -1
	}{
		{"no rule", nil, `{severity="warning"}`, []string{`{severity="critical"}`}, -1},
		{"equal labels", router.Inhibitions{rule}, `{severity="warning", service="a", zone="1"}`, []string{`{severity="critical", service="a", zone="1"}`}, 0},
		{"another service", router.Inhibitions{rule}, `{severity="warning", service="a", zone="1"}`, []string{`{severity="critical", service="b", zone="1"}`}, -1},
		{"both lack an equal label", router.Inhibitions{rule}, `{severity="warning", service="a"}`, []string{`{severity="critical", service="a"}`}, 0},
		{"one lacks an equal label", router.Inhibitions{rule}, `{severity="warning", service="a"}`, []string{`{severity="critical", service="a", zone="1"}`}, -1},
		{"not a target", router.Inhibitions{rule}, `{severity="critical", service="a"}`, []string{`{severity="critical", service="a", x="y"}`}, -1},
		{"not a source", router.Inhibitions{rule}, `{severity="info", service="a"}`, []string{`{severity="warning", service="a"}`}, -1},
		{"the second rule", router.Inhibitions{both, rule}, `{severity="info"}`, []string{`{severity="critical"}`}, 0},
		{"no equal: any source", router.Inhibitions{both}, `{kind="pod"}`, []string{`{kind="node", zone="9"}`}, 0},
		{"two-sided target, two-sided source", router.Inhibitions{both}, `{kind="both", a="1"}`, []string{`{kind="both", a="2"}`}, -1},
		{"two-sided target, itself", router.Inhibitions{both}, `{kind="both"}`, []string{`{kind="both"}`}, -1},
		{"two-sided target, one-sided source", router.Inhibitions{both}, `{kind="both"}`, []string{`{kind="node"}`}, 0},
		{"two-sided source, one-sided target", router.Inhibitions{both}, `{kind="pod"}`, []string{`{kind="both"}`}, 0},
		// A source that does not count must not hide one that does.
		{"a two-sided source beside a one-sided one", router.Inhibitions{both}, `{kind="both", a="1"}`, []string{`{kind="both", a="2"}`, `{kind="node"}`}, 1},
		{"values that run together", router.Inhibitions{rule}, `{severity="info", service="ab", zone="c"}`, []string{`{severity="critical", service="a", zone="bc"}`}, -1},
		{"a rule without matchers inhibits nothing", router.Inhibitions{{}}, `{a="1"}`, []string{`{b="1"}`}, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := router.NewInhibitor(tt.rules, nil)
			want, inhibited := alertd.Fingerprint(0), tt.want >= 0
			for i, s := range tt.sources {
				ls := parseLabels(t, s)
				in.Add(alertd.FingerprintOf(ls), ls)
				if i == tt.want {
					want = alertd.FingerprintOf(ls)
				}
			}
			got, how, ok := in.InhibitedBy(parseLabels(t, tt.target))
			if got != want || ok != inhibited || how != "" && how != "same service and zone" {
				t.Errorf("got %s %q %t, want %s %t", got, how, ok, want, inhibited)
			}
		})
	}
}

// TestInhibitionOutlivesOneOfItsSources is Alertmanager's issue 5162: of two sources with equal labels one resolves.
func TestInhibitionOutlivesOneOfItsSources(t *testing.T) {
	in := router.NewInhibitor(router.Inhibitions{{
		Source: matchers(t, `severity="critical"`), Target: matchers(t, `severity="warning"`), Equal: []string{"service"},
	}}, nil)
	target := parseLabels(t, `{severity="warning", service="api"}`)
	var pods []alertd.Fingerprint
	for pod := range 20 {
		ls := labels.FromStrings("severity", "critical", "service", "api", "pod", strconv.Itoa(pod))
		in.Add(alertd.FingerprintOf(ls), ls)
		pods = append(pods, alertd.FingerprintOf(ls))
	}
	for slices.Sort(pods); len(pods) > 0; pods = pods[1:] {
		if by, _, ok := in.InhibitedBy(target); !ok || by != pods[0] {
			t.Fatalf("inhibited by %s %t, want %s", by, ok, pods[0])
		}
		in.Remove(pods[0])
	}
	if by, _, ok := in.InhibitedBy(target); ok || by != 0 {
		t.Errorf("inhibited by %s although nothing fires", by)
	}
}

// inhibitedBy says what [router.Inhibitor] says, by asking every alert that fires about every rule.
func inhibitedBy(target alertd.Labels, rules router.Inhibitions, depends *router.Dependencies, firing map[alertd.Fingerprint]alertd.Labels) (alertd.Fingerprint, string, bool) {
	all := func(ms []*amlabels.Matcher, ls alertd.Labels) bool {
		return !slices.ContainsFunc(ms, func(m *amlabels.Matcher) bool { return !m.Matches(ls.Get(m.Name)) })
	}
	for _, fp := range slices.Sorted(maps.Keys(firing)) {
		source := firing[fp]
		for _, r := range rules {
			differs := func(name string) bool { return source.Get(name) != target.Get(name) }
			twoSided := all(r.Source, target) && all(r.Target, source)
			if all(r.Source, source) && all(r.Target, target) && !slices.ContainsFunc(r.Equal, differs) && !twoSided {
				if len(r.Equal) == 0 {
					return fp, "", true
				}
				return fp, "same " + strings.Join(r.Equal, " and "), true
			}
		}
	}
	down := map[string]bool{}
	for _, ls := range firing {
		down[alertd.ServiceOf(ls)] = down[alertd.ServiceOf(ls)] || alertd.SeverityOf(ls) == alertd.Critical
	}
	for _, fp := range slices.Sorted(maps.Keys(firing)) {
		for _, d := range depends.Of(alertd.ServiceOf(target)) {
			hidden := slices.ContainsFunc(depends.Of(d.On), func(further router.Dependency) bool { return down[further.On] })
			if alertd.ServiceOf(firing[fp]) == d.On && alertd.SeverityOf(firing[fp]) == alertd.Critical && !hidden {
				return fp, d.How, true
			}
		}
	}
	return 0, "", false
}

// Whatever begins to fire and ends, in whatever order, the index answers for any alert as the search through all of them does, and
// keeps nothing of what is over.
func TestInhibitorIsTheSearch(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var rules router.Inhibitions
		for range rapid.IntRange(0, 3).Draw(rt, "rules") {
			rules = append(rules, router.InhibitRule{
				Source: randomMatchers(t, rt, 2), Target: randomMatchers(t, rt, 2),
				Equal: rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 2, rapid.ID).Draw(rt, "equal"),
			})
		}
		var depends *router.Dependencies
		if rapid.Bool().Draw(rt, "depends") {
			depends, _ = router.NewDependencies(map[string][]string{"shop": {"payments", "cache"}, "payments": {"db"}, "cache": {"db"}})
		}
		alert := func(what string) alertd.Labels {
			b := labels.NewBuilder(randomLabels(rt, what))
			b.Set("service", rapid.SampledFrom([]string{"", "shop", "payments", "cache", "db"}).Draw(rt, "service"))
			b.Set("severity", rapid.SampledFrom([]string{"critical", "warning"}).Draw(rt, "severity"))
			return b.Labels()
		}
		in, firing := router.NewInhibitor(rules, depends), map[alertd.Fingerprint]alertd.Labels{}
		asked := []alertd.Labels{alert("target")}
		check := func() {
			for _, target := range asked {
				by, how, is := in.InhibitedBy(target)
				if wantBy, wantHow, want := inhibitedBy(target, rules, depends, firing); by != wantBy || how != wantHow || is != want {
					rt.Fatalf("%s: %s %q %t, want %s %q %t", target, by, how, is, wantBy, wantHow, want)
				}
				if is && labels.Equal(firing[by], target) {
					rt.Fatalf("%s inhibits itself", target)
				}
				if is && !in.Has(by) {
					rt.Fatalf("%s inhibits %s and is not known", by, target)
				}
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"fires": func(*rapid.T) {
				ls := alert("source")
				in.Add(alertd.FingerprintOf(ls), ls)
				firing[alertd.FingerprintOf(ls)] = ls
				asked = append(asked, ls)
			},
			"fires with other labels": func(t *rapid.T) {
				if len(firing) == 0 {
					t.Skip("nothing fires")
				}
				fp, ls := rapid.SampledFrom(slices.Sorted(maps.Keys(firing))).Draw(t, "which"), alert("source")
				in.Add(fp, ls)
				firing[fp] = ls
			},
			"ends": func(t *rapid.T) {
				ls := rapid.SampledFrom(asked).Draw(t, "which")
				in.Remove(alertd.FingerprintOf(ls))
				delete(firing, alertd.FingerprintOf(ls))
			},
			"": func(*rapid.T) { check() },
		})
		for fp := range firing {
			in.Remove(fp)
		}
		if n := in.Filed(); n != 0 {
			rt.Fatalf("%d things are left of what is over", n)
		}
	})
}

// What it costs to ask for each of 10,000 alerts, and for each source to come and go.
func BenchmarkInhibitor(b *testing.B) {
	rules := router.Inhibitions{
		{Source: matchers(b, `severity="critical"`), Target: matchers(b, `severity=~"warning|info"`), Equal: []string{"zone"}},
		{Source: matchers(b, `alertname="Down"`), Target: matchers(b, `alertname="Slow"`)}, // all sources in one place
	}
	for _, n := range []int{10, 1_000} {
		in := router.NewInhibitor(rules, nil)
		var sources, targets []alertd.Labels
		for i := range n {
			ls := labels.FromStrings("alertname", "Down", "severity", "critical", "zone", strconv.Itoa(i))
			in.Add(alertd.FingerprintOf(ls), ls)
			sources = append(sources, ls)
		}
		for i := range 10_000 {
			targets = append(targets, labels.FromStrings("alertname", "Slow", "severity", "warning", "zone", strconv.Itoa(i%n), "service", strconv.Itoa(i)))
		}
		b.Run(fmt.Sprintf("10000 targets/%d sources", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, ls := range targets {
					in.InhibitedBy(ls)
				}
			}
		})
		b.Run(fmt.Sprintf("a source comes and goes/%d sources", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				ls := sources[i%n]
				fp := alertd.FingerprintOf(ls)
				in.Remove(fp)
				in.Add(fp, ls)
			}
		})
	}
}
