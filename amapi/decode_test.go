package amapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// batch is what a Prometheus posts: n alerts of 8 labels and 3 annotations, some 650 bytes each.
func batch(n int) []byte {
	type alert struct {
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
		StartsAt     time.Time         `json:"startsAt"`
		EndsAt       time.Time         `json:"endsAt"`
		GeneratorURL string            `json:"generatorURL"`
	}
	at := time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)
	all := make([]alert, n)
	for i := range all {
		all[i] = alert{
			Labels: map[string]string{
				"alertname": "InstanceIsDown", "severity": "critical", "job": "node-exporter", "cluster": "production-eu-west-1",
				"instance": fmt.Sprintf("10.0.%d.%d:9100", i/250, i%250), "team": "infrastructure", "region": "eu-west-1", "monitor": "prometheus-a",
			},
			Annotations: map[string]string{
				"summary":     "Instance is down",
				"description": "The instance has not answered any scrape for more than five minutes; somebody has to look at it.",
				"runbook_url": "https://runbooks.example.org/runbooks/InstanceIsDown",
			},
			StartsAt: at, EndsAt: at.Add(4 * time.Minute),
			GeneratorURL: "https://prometheus.example.org/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
		}
	}
	body, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return body
}

func BenchmarkDecodeAlerts(b *testing.B) {
	for _, n := range []int{64, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			body := batch(n)
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				alerts, faults, err := decodeAlerts(body)
				if len(alerts) != n || faults != nil || err != nil {
					b.Fatal(len(alerts), faults, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/alert")
		})
	}
}

// slowly decodes a body that holds alerts of the right shape as encoding/json does.
func slowly(body []byte) (all []struct {
	Labels       map[string]string
	Annotations  map[string]string
	StartsAt     *string
	EndsAt       *string
	GeneratorURL *string
}, err error,
) {
	err = json.Unmarshal(body, &all)
	return all, err
}

// FuzzDecodeAlerts checks that nothing makes the decoder fall, that what it returns can be remembered, and that it reads
// what encoding/json reads.
func FuzzDecodeAlerts(f *testing.F) {
	f.Add(batch(2))
	for _, s := range []string{
		``, `null`, `[]`, `[null]`, `[{}]`, `{}`, `[{"labels":{"a":"b"}}]`, ` [ { "labels" : { "a" : "b" , "a" : "c" } } , 1 , "x" ] `,
		`[{"labels":{"a":"\"\\\u00e9\ud83d\ude00\ud83d"},"annotations":{"":""},"startsAt":null,"endsAt":""}]`,
		"[{\"labels\":{\"a\xff\":\"b\xfe\xfe\"}}]", `[{"labels":{"a":null,"b":[1,{"c":"]}"}]}}]`, `[{"labels":{"a":"b"},"x":[[[{}]]],"y":-1.5e3,"z":true}]`,
		`[{"labels":{"a":"b"},"startsAt":"0000-01-01T00:00:00+10:00"}]`, `[{"labels":{"a":"b"},"generatorURL":"x"}]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		alerts, faults, err := decodeAlerts(body)
		if err != nil {
			if len(alerts)+len(faults) > 0 {
				t.Errorf("an error, and alerts: %v", err)
			}
			return
		}
		for _, p := range alerts {
			if p.Labels.IsEmpty() || !p.EndsAt.IsZero() && p.EndsAt.Before(p.StartsAt) {
				t.Errorf("this is no alert: %+v", p)
			}
			p.Labels.Range(func(l labels.Label) {
				if l.Name == "" || l.Value == "" || !utf8.ValidString(l.Name+l.Value) {
					t.Errorf("label %q=%q", l.Name, l.Value)
				}
			})
			if name, twice := p.Labels.HasDuplicateLabelNames(); twice {
				t.Errorf("%q twice", name)
			}
			if _, err := json.Marshal(p); err != nil {
				t.Errorf("cannot be remembered: %v", err)
			}
		}
		for _, f := range faults {
			if f.text == "" || f.status < 400 || f.status > 422 {
				t.Errorf("fault %+v", f)
			}
		}

		want, err := slowly(body)
		if err != nil || len(faults) > 0 || odd(body) {
			return
		}
		if len(want) != len(alerts) {
			t.Fatalf("%d alerts, encoding/json reads %d", len(alerts), len(want))
		}
		for i, w := range want {
			maps.DeleteFunc(w.Labels, func(_, v string) bool { return v == "" })
			if got := alerts[i].Labels; !maps.Equal(got.Map(), w.Labels) {
				t.Errorf("labels %v, encoding/json reads %v", got, w.Labels)
			}
			if got := alerts[i].Annotations; !maps.Equal(got.Map(), w.Annotations) {
				t.Errorf("annotations %v, encoding/json reads %v", got, w.Annotations)
			}
			if got := alerts[i].GeneratorURL; w.GeneratorURL != nil && got != *w.GeneratorURL {
				t.Errorf("generatorURL %q, encoding/json reads %q", got, *w.GeneratorURL)
			}
		}
	})
}

// odd reports whether encoding/json may read body in a way of its own: it takes LABELS for labels, and merges an object
// that comes twice.
func odd(body []byte) bool {
	var items []json.RawMessage
	_ = json.Unmarshal(body, &items)
	for _, item := range items {
		dec := json.NewDecoder(strings.NewReader(string(item)))
		if t, err := dec.Token(); err != nil || t != json.Delim('{') {
			return true
		}
		seen := map[string]bool{}
		for dec.More() {
			t, err := dec.Token()
			name, ok := t.(string)
			var v json.RawMessage
			if err != nil || !ok || dec.Decode(&v) != nil || seen[strings.ToLower(name)] {
				return true
			}
			seen[strings.ToLower(name)] = true
			i := slices.IndexFunc([]string{"labels", "annotations", "startsAt", "endsAt", "generatorURL"}, func(s string) bool { return strings.EqualFold(s, name) })
			if i >= 0 && !slices.Contains([]string{"labels", "annotations", "startsAt", "endsAt", "generatorURL"}, name) {
				return true
			}
		}
	}
	return false
}

// FuzzMatcher checks that nothing makes the parser of filters fall, and that a filter means what the same matcher means in a
// silence.
func FuzzMatcher(f *testing.F) {
	for _, s := range []string{`a=b`, `a=~"b|c"`, `"ü x"!~y`, `a!="\""`, `{a=b}`, `=`, `a=~(`, "a=\xff", `alertname="A"`, `a=`, ``} {
		f.Add(s)
	}
	ls := labels.FromStrings("a", "b", "alertname", "A")
	f.Fuzz(func(t *testing.T, s string) {
		ms, err := matchers(map[string][]string{"filter": {s}}, "filter")
		if err != nil {
			if failure, ok := err.(*failure); !ok || failure.status != 400 || failure.text == "" {
				t.Errorf("%q: %#v", s, err)
			}
			return
		}
		m := ms[0]
		same := alertd.Matcher{
			Name: m.Name, Value: m.Value, IsRegex: m.Type == amlabels.MatchRegexp || m.Type == amlabels.MatchNotRegexp,
			IsEqual: m.Type == amlabels.MatchEqual || m.Type == amlabels.MatchRegexp,
		}
		if !sameMatcher(m, same) {
			t.Errorf("%q: %s is not %s", s, m, same)
		}
		compiled, err := alertd.Compile([]alertd.Matcher{same, {Name: "alertname", Value: "A", IsEqual: true}})
		if err == nil && compiled.Matches(ls) != matchAll(ms, ls) {
			t.Errorf("%q: a silence and a filter see %s differently", s, ls)
		}
	})
}
