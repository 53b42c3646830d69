package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"alertd/config"
)

// TestRoutingFiles reads files as people have them. alertd takes what Alertmanager takes, but for receivers of a kind that
// it does not have, each of which it names where it stands; and without those it routes like Alertmanager.
func TestRoutingFiles(t *testing.T) {
	utf8Names()
	names, err := filepath.Glob("testdata/alertmanager/*.yml")
	if err != nil || len(names) < 40 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yml"), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			_, theirs := amconfig.Load(string(data))
			if wrong := strings.HasPrefix(filepath.Base(name), "bad-"); wrong != (theirs != nil) {
				t.Fatalf("Alertmanager says: %v", theirs)
			}
			_, ours := read(name, data)
			if theirs != nil {
				if ours == nil {
					t.Fatalf("alertd takes what Alertmanager refuses: %v", theirs)
				}
				if !regexp.MustCompile(`^` + regexp.QuoteMeta(name) + `:\d+:\d+: `).MatchString(ours.Error()) {
					t.Errorf("it does not say where: %v", ours)
				}
				return
			}
			foreign, rest := withoutForeign(t, data)
			said := map[string]bool{}
			if ours != nil {
				for line := range strings.Lines(ours.Error()) {
					said[strings.TrimSpace(line)] = true
				}
			}
			if len(said) != len(foreign) {
				t.Errorf("alertd says %v, and there are %d kinds of receivers that it does not have", ours, len(foreign))
			}
			for _, f := range foreign {
				known := false
				for line := range said {
					known = known || strings.HasPrefix(line, fmt.Sprintf("%s:%d:", name, f.line)) && strings.Contains(line, f.kind) && strings.Contains(line, "webhook_configs")
				}
				if !known {
					t.Errorf("nothing is said of %s in line %d: %v", f.kind, f.line, ours)
				}
			}
			am, err := amconfig.Load(string(rest))
			if err != nil {
				t.Fatal(err)
			}
			routing, err := read(name, rest)
			if err != nil {
				t.Fatalf("without what alertd does not have: %v\n%s", err, rest)
			}
			sameRoutes(t, am, routing)
		})
	}
}

// read reads a routing beside which every file is there.
func read(name string, data []byte) (*config.Routing, error) {
	r, _, err := config.ParseRouting(name, data, func(string) (string, bool) { return "", false },
		func(string) ([]byte, error) { return []byte("https://hooks.example/1"), nil })
	return r, err
}

// foreignKind is a list of receivers of a kind that alertd does not have.
type foreignKind struct {
	kind string
	line int // of its value
}

// withoutForeign finds them, and what is left.
func withoutForeign(t *testing.T, data []byte) (found []foreignKind, rest []byte) {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	for i, n := range doc.Content[0].Content {
		if n.Value != "receivers" {
			continue
		}
		for _, receiver := range doc.Content[0].Content[i+1].Content {
			var kept []*yaml.Node
			for k := 0; k < len(receiver.Content); k += 2 {
				key, value := receiver.Content[k], receiver.Content[k+1]
				if own := key.Value == "slack_configs" || key.Value == "webhook_configs"; own || !strings.HasSuffix(key.Value, "_configs") {
					kept = append(kept, key, value)
				} else if len(value.Content) > 0 {
					found = append(found, foreignKind{key.Value, value.Line})
				}
			}
			receiver.Content = kept
		}
	}
	rest, err := yaml.Marshal(&doc)
	if err != nil {
		t.Fatal(err)
	}
	return found, rest
}

// sameRoutes sends made-up alerts through both trees.
func sameRoutes(t *testing.T, am *amconfig.Config, ours *config.Routing) {
	theirs := dispatch.NewRoute(am.Route, nil)
	values := map[string][]string{"alertname": {"Disk"}, "severity": {"critical"}, "instance": {"a", "b"}}
	word := regexp.MustCompile(`[\pL\pN♥]+`)
	theirs.Walk(func(r *dispatch.Route) {
		for _, m := range r.Matchers {
			values[m.Name] = append(values[m.Name], m.Value)
			if m.Type == amlabels.MatchRegexp || m.Type == amlabels.MatchNotRegexp {
				values[m.Name] = append(values[m.Name], word.FindAllString(m.Value, -1)...)
			}
		}
	})
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range values {
			if !yield(name) {
				return
			}
		}
	})
	type decision struct{ Receiver, Group, Wait, Interval, Repeat, Mute, Active, Labels string }
	rapid.Check(t, func(t *rapid.T) {
		set := model.LabelSet{}
		for _, name := range names {
			if v := rapid.SampledFrom(append(values[name], "", "other")).Draw(t, name); v != "" {
				set[model.LabelName(name)] = model.LabelValue(v)
			}
		}
		var want, got []decision
		for _, r := range theirs.Match(set) {
			group := model.LabelSet{}
			for name, v := range set {
				if _, ok := r.RouteOpts.GroupBy[name]; ok || r.RouteOpts.GroupByAll {
					group[name] = v
				}
			}
			o := r.RouteOpts
			want = append(want, decision{
				o.Receiver, fmt.Sprint(plain(group)), o.GroupWait.String(), o.GroupInterval.String(), o.RepeatInterval.String(),
				fmt.Sprint(o.MuteTimeIntervals), fmt.Sprint(o.ActiveTimeIntervals), fmt.Sprint(plain(o.Labels)),
			})
		}
		for _, d := range ours.Root.Decide(labels.FromMap(plain(set))) {
			got = append(got, decision{
				d.Receiver, fmt.Sprint(d.GroupLabels.Map()), d.GroupWait.String(), d.GroupInterval.String(), d.RepeatInterval.String(),
				fmt.Sprint(d.Mute), fmt.Sprint(d.Active), fmt.Sprint(d.RouteLabels.Map()),
			})
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("%s: Alertmanager (-), alertd (+)\n%s", set, diff)
		}
	})
}

func plain(ls model.LabelSet) map[string]string {
	out := map[string]string{}
	for name, v := range ls {
		out[string(name)] = string(v)
	}
	return out
}
