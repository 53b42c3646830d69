package demo

import (
	"io/fs"
	"maps"
	"slices"
	"testing"
	"time"

	"alertd"
	"alertd/ingest"
	"alertd/rules"
)

// TestJudged lets the shipped rules judge three and a half minutes of the shop: the demo has to show what it says it shows,
// and nothing that would need an excuse.
func TestJudged(t *testing.T) {
	var files []rules.File
	for _, name := range []string{"critical.yaml", "warning.yaml", "info.yaml", "events.yaml", "self.yaml"} {
		data, err := fs.ReadFile(rules.Shipped(), name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, rules.File{Name: name, Data: data})
	}
	set, err := rules.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	evaluator := rules.NewEvaluator(set, rules.Options{}, opens)
	decoder := ingest.NewDecoder()

	type truth struct {
		scope string
		since time.Duration
	}
	standing := map[string]map[string]truth{} // by rule, then by service and version
	fired := map[string]time.Duration{}       // second of the story
	ended := map[string]time.Duration{}
	var at time.Duration
	hear := func(verdicts []alertd.Verdict) {
		for _, v := range verdicts {
			if v.Err != "" {
				t.Fatal(v.Rule.Name, v.Err)
			}
			if standing[v.Rule.Name] == nil {
				standing[v.Rule.Name] = map[string]truth{}
			}
			was := standing[v.Rule.Name]
			is := map[string]bool{}
			for _, f := range v.True {
				who := v.Rule.Name + " " + f.Labels.Get(alertd.LabelService) + " " + f.Labels.Get("version")
				is[who] = true
				if _, known := was[who]; !known {
					was[who] = truth{f.Scope, at}
				}
				if _, known := fired[who]; !known && at-was[who].since >= v.Rule.For {
					fired[who] = at
				}
			}
			for who, w := range was {
				if !is[who] && !v.Rule.Occurrence && (v.Scope == "" || v.Scope == w.scope) {
					delete(was, who)
					if _, known := fired[who]; known {
						ended[who] = at
					}
				}
			}
		}
	}

	shop := newShop(1)
	for second := range 215 {
		at = time.Duration(second) * time.Second
		now := opens.Add(at)
		_, messages := shop.second(now)
		for i, m := range messages {
			var events alertd.Events
			if problems := decoder.Decode(m.subject, nil, now, m.body, &events); len(problems) > 0 {
				t.Fatalf("%s: %s", m.subject, problems[0].Reason)
			}
			seq := uint64(second*1000 + i + 1)
			evaluator.Append(now, seq, events.Samples)
			hear(evaluator.Observe(now, seq, events.Occurrences))
		}
		hear(evaluator.Run(now.Add(200 * time.Millisecond)))
	}

	for _, want := range []struct {
		alert    string
		from, to time.Duration // it fires in between
		over     time.Duration // it has ended by then; 0: it goes on
	}{
		{"ApplicationDown payments ", 10 * time.Second, 11 * time.Second, 72 * time.Second},
		{"DatabaseUnreachable payments ", 10 * time.Second, 11 * time.Second, 72 * time.Second},
		{"HighErrorRate payments ", 40 * time.Second, 60 * time.Second, 200 * time.Second},
		{"CertificateExpiringSoon storefront ", 0, time.Second, 0},
		{"DiskUsageHigh search ", 2 * time.Minute, 2*time.Minute + 15*time.Second, 0},
		{"DeploymentCompleted payments v2.4.1", 5 * time.Second, 6 * time.Second, 0},
		{"DeploymentCompleted payments v2.4.0", 70 * time.Second, 71 * time.Second, 0},
		{"BackupSucceeded catalog ", 20 * time.Second, 21 * time.Second, 0},
	} {
		at, ok := fired[want.alert]
		over, isOver := ended[want.alert]
		if !ok || at < want.from || at > want.to {
			t.Errorf("%s fires at %s (%v), want between %s and %s", want.alert, at, ok, want.from, want.to)
		}
		if isOver != (want.over > 0) || over > want.over {
			t.Errorf("%s ends at %s (%v), want by %s", want.alert, over, isOver, want.over)
		}
		delete(fired, want.alert)
	}
	for _, name := range slices.Sorted(maps.Keys(fired)) {
		t.Errorf("%s fires as well, at %s", name, fired[name])
	}
}
