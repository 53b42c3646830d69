package rules_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/rules"
)

// shipped parses the rules that alertd runs on by default.
func shipped(t *testing.T) *rules.Set {
	t.Helper()
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
	return set
}

// began is when the stories below begin.
var began = time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)

// reading is a series and what it reads at an instant of a story; false: it says nothing then.
type reading struct {
	series string // name{label="value",…}
	value  func(at time.Duration) (float64, bool)
}

// every publishes f at each multiple of step.
func every(step time.Duration, series string, f func(at time.Duration) float64) reading {
	return reading{series, func(at time.Duration) (float64, bool) { return f(at), at%step == 0 }}
}

// always publishes v every 15 seconds.
func always(series string, v float64) reading {
	return every(15*time.Second, series, func(time.Duration) float64 { return v })
}

// counter publishes a counter that grows by perSecond, every 15 seconds.
func counter(series string, perSecond float64) reading {
	return every(15*time.Second, series, func(at time.Duration) float64 { return perSecond * at.Seconds() })
}

// requests is a service of whose requests (ten a second) a share fails.
func requests(service string, failing float64) []reading {
	return []reading{
		counter(fmt.Sprintf(`http_requests_total{service="%s",code="200"}`, service), 10*(1-failing)),
		counter(fmt.Sprintf(`http_requests_total{service="%s",code="503"}`, service), 10*failing),
	}
}

// latencies is a service of whose requests (ten a second) a share takes between 5 and 10 seconds, the others less
// than one.
func latencies(slow float64) []reading {
	var out []reading
	for le, rate := range map[string]float64{"1": 10 * (1 - slow), "5": 10 * (1 - slow), "10": 10, "+Inf": 10} {
		out = append(out, counter(fmt.Sprintf(`http_request_duration_seconds_bucket{service="api",le="%s"}`, le), rate))
	}
	return out
}

// health is the state set of a health report.
func health(series, status string) (out []reading) {
	for _, s := range []string{"healthy", "degraded", "unhealthy"} {
		v := 0.0
		if s == status {
			v = 1
		}
		out = append(out, always(strings.Replace(series, "}", `,status="`+s+`"}`, 1), v))
	}
	return out
}

// certificate is an instant, this long after the story's beginning.
func certificate(name string, left time.Duration) []reading {
	return []reading{always(name+`{service="web",domain="example.com"}`, float64(began.Add(left).Unix()))}
}

const day = 24 * time.Hour

// TestShippedRules tells each rule a story in which it becomes true, and one in which it just does not.
func TestShippedRules(t *testing.T) {
	for _, c := range []struct {
		rule, story string
		readings    []reading
		lasts       time.Duration
		want        string // how the summary of the one alert that fires begins; "": none does
		after       time.Duration
	}{
		{"ApplicationDown", "unhealthy", health(`health_status{service="api"}`, "unhealthy"), time.Minute, "api is down", 0},
		{"ApplicationDown", "degraded", health(`health_status{service="api"}`, "degraded"), time.Minute, "", 0},
		{
			"ApplicationDown", "said unhealthy once, ten minutes ago",
			[]reading{every(time.Hour, `health_status{service="api",status="unhealthy"}`, func(time.Duration) float64 { return 1 })},
			10 * time.Minute, "api is down", 0,
		},
		{
			"ApplicationDown", "said unhealthy, then healthy, then nothing",
			[]reading{{`health_status{service="api",status="unhealthy"}`, func(at time.Duration) (float64, bool) {
				return max(0, 1-at.Minutes()), at <= time.Minute
			}}},
			10 * time.Minute, "", 0,
		},

		{
			"ApplicationDown", "a component that it names fails",
			append(health(`health_status{service="api"}`, "unhealthy"), health(`health_check_status{service="api",check="cache",component="cache"}`, "unhealthy")...),
			time.Minute, "api is down: it reports cache unhealthy", 0,
		},
		{
			"ApplicationDown", "it does not live, and what it said of a component is old",
			slices.Concat(health(`health_status{service="api"}`, "unhealthy"), health(`health_check_status{service="api",check="cache",component="cache"}`, "unhealthy"),
				health(`health_check_status{service="api",check="live"}`, "unhealthy")),
			time.Minute, "api is down", 0,
		},

		{
			"ComponentUnhealthy", "two services report it",
			append(health(`health_check_status{service="api",check="cache",component="cache"}`, "unhealthy"), health(`health_check_status{service="web",check="redis",component="cache"}`, "unhealthy")...),
			time.Minute, "cache is unhealthy: several services report it", 0,
		},
		{
			"ComponentUnhealthy", "one service reports it, by two checks",
			append(health(`health_check_status{service="api",check="cache",component="cache"}`, "unhealthy"), health(`health_check_status{service="api",check="redis",component="cache"}`, "unhealthy")...),
			time.Minute, "", 0,
		},
		{
			"ComponentUnhealthy", "what every service has for itself",
			append(health(`health_check_status{service="api",check="disk"}`, "unhealthy"), health(`health_check_status{service="web",check="disk"}`, "unhealthy")...),
			time.Minute, "", 0,
		},

		{"HighErrorRate", "11%", requests("api", 0.11), 5 * time.Minute, "api fails 11% of its requests", 30 * time.Second},
		{"HighErrorRate", "9%", requests("api", 0.09), 5 * time.Minute, "", 0},
		{"HighErrorRate", "all services together 11%, none alone", append(requests("api", 0.05), requests("web", 0.06)...), 5 * time.Minute, "", 0},
		{
			"HighErrorRate", "one request of two in the night",
			[]reading{
				every(15*time.Second, `http_requests_total{service="api",code="200"}`, func(at time.Duration) float64 { return float64(at / time.Minute) }),
				every(15*time.Second, `http_requests_total{service="api",code="500"}`, func(at time.Duration) float64 { return float64(at / time.Minute) }),
			},
			10 * time.Minute, "", 0,
		},
		{"HighErrorRate", "customers' mistakes", []reading{counter(`http_requests_total{service="api",code="404"}`, 10)}, 5 * time.Minute, "", 0},

		{"DatabaseUnreachable", "unhealthy", health(`health_check_status{service="api",check="database"}`, "unhealthy"), time.Minute, "api cannot reach its database (database)", 0},
		{"DatabaseUnreachable", "named after the product", health(`health_check_status{service="api",check="Postgres-main"}`, "unhealthy"), time.Minute, "api cannot reach its database (Postgres-main)", 0},
		{"DatabaseUnreachable", "slow", health(`health_check_status{service="api",check="database"}`, "degraded"), time.Minute, "", 0},
		{"DatabaseUnreachable", "the cache", health(`health_check_status{service="api",check="cache"}`, "unhealthy"), time.Minute, "", 0},

		{"ElevatedErrorRate", "1.5%", requests("api", 0.015), 20 * time.Minute, "api fails 1.5% of its requests", 10 * time.Minute},
		{"ElevatedErrorRate", "0.9%", requests("api", 0.009), 20 * time.Minute, "", 0},
		{"ElevatedErrorRate", "1.5%, for nine minutes", requests("api", 0.015), 9 * time.Minute, "", 0},

		{"HighLatencyP99", "2% take longer", latencies(0.02), 20 * time.Minute, "api takes 7.5s for its slowest 1% of requests", 10 * time.Minute},
		{"HighLatencyP99", "0.9% take longer", latencies(0.009), 20 * time.Minute, "", 0},

		{"DiskUsageHigh", "81%", []reading{always(`disk_usage_ratio{service="db",device="/dev/sda"}`, 0.81)}, 5 * time.Minute, "db: disk /dev/sda is 81% full", 2 * time.Minute},
		{"DiskUsageHigh", "80%", []reading{always(`disk_usage_ratio{service="db",device="/dev/sda"}`, 0.80)}, 5 * time.Minute, "", 0},
		{
			"DiskUsageHigh", "in bytes",
			[]reading{always(`disk_used_bytes{service="db"}`, 90e9), always(`disk_total_bytes{service="db"}`, 100e9)},
			5 * time.Minute, "db: disk is 90% full", 2 * time.Minute,
		},
		{
			"DiskUsageHigh", "the used bytes of one disk, the size of another",
			[]reading{always(`disk_used_bytes{service="db",device="a"}`, 90e9), always(`disk_total_bytes{service="db",device="b"}`, 100e9)},
			5 * time.Minute, "", 0,
		},

		{"CertificateExpiringSoon", "6 days left", certificate("certificate_expiry_timestamp_seconds", 6*day), time.Minute, "The certificate of web expires in 5d 23h", 0},
		{"CertificateExpiringSoon", "8 days left", certificate("certificate_expiry_timestamp_seconds", 8*day), time.Minute, "", 0},
		{"CertificateExpiringSoon", "over since yesterday", certificate("certificate_expiry_timestamp_seconds", -day), time.Minute, "The certificate of web has expired", 0},
		{
			"CertificateExpiringSoon", "as the blackbox exporter says it",
			[]reading{always(`probe_ssl_earliest_cert_expiry{instance="https://example.com"}`, float64(began.Add(day).Unix()))},
			time.Minute, "The certificate of https://example.com expires in 23h", 0,
		},

		{"QuotaNearlyUsed", "81%", []reading{always(`quota_used{service="mail",quota="sends"}`, 81), always(`quota_limit{service="mail",quota="sends"}`, 100)}, 10 * time.Minute, "mail has used 81% of its quota sends", 5 * time.Minute},
		{"QuotaNearlyUsed", "80%", []reading{always(`quota_used{service="mail",quota="sends"}`, 80), always(`quota_limit{service="mail",quota="sends"}`, 100)}, 10 * time.Minute, "", 0},

		{"NoEventsArriving", "11 minutes", []reading{always(`alertd_events_last_received_timestamp_seconds`, float64(began.Unix()))}, 11 * time.Minute, "alertd is blind: no event for 1", 0},
		{"NoEventsArriving", "9 minutes", []reading{always(`alertd_events_last_received_timestamp_seconds`, float64(began.Unix()))}, 9 * time.Minute, "", 0},
	} {
		t.Run(c.rule+"/"+c.story, func(t *testing.T) {
			t.Parallel()
			firing, held := play(t, c.rule, c.readings, c.lasts)
			switch {
			case c.want == "" && len(firing) > 0:
				t.Errorf("fires: %s", firing[0].Labels)
			case c.want == "":
			case len(firing) != 1:
				t.Errorf("%d alerts fire, want one", len(firing))
			case !strings.HasPrefix(firing[0].Annotations.Labels().Get(alertd.AnnotationSummary), c.want):
				t.Errorf("summary %q, want %q", firing[0].Annotations.Labels().Get(alertd.AnnotationSummary), c.want)
			case held != c.after:
				t.Errorf("`for` is %s, want %s", held, c.after)
			}
			for _, f := range firing {
				complete(t, f)
			}
		})
	}
}

// complete checks that an alert tells its reader all that he needs.
func complete(t *testing.T, f alertd.Finding) {
	t.Helper()
	if f.Labels.Get(alertd.LabelService) == "" && f.Labels.Get("instance") == "" && f.Labels.Get("component") == "" {
		t.Errorf("says of no service or component: %s", f.Labels)
	}
	if s := alertd.SeverityOf(f.Labels); s.Rank() > alertd.Info.Rank() {
		t.Errorf("severity %q", s)
	}
	for _, name := range []string{alertd.AnnotationSummary, alertd.AnnotationDescription, alertd.AnnotationNextStep} {
		switch text := f.Annotations.Labels().Get(name); {
		case text == "":
			t.Errorf("no %s", name)
		case strings.Contains(text, "{{"), strings.Contains(text, "<no value>"), strings.Contains(text, "<error"), strings.Contains(text, "  "):
			t.Errorf("%s: %q", name, text)
		}
	}
}

// play tells a story second by second and returns what is true at its end for long enough, and the rule's patience.
func play(t *testing.T, rule string, readings []reading, lasts time.Duration) (firing []alertd.Finding, patience time.Duration) {
	t.Helper()
	e := rules.NewEvaluator(shipped(t), rules.Options{}, began)
	since := map[string]time.Time{} // when a label set became true
	now := map[string]alertd.Finding{}
	hear := func(verdicts []alertd.Verdict) {
		for _, v := range verdicts {
			if v.Err != "" {
				t.Fatalf("%s: %s", v.Rule.Name, v.Err)
			}
			if v.Rule.Name != rule {
				if len(v.True) > 0 && v.Rule.Name != "ElevatedErrorRate" && v.Rule.Name != "HighErrorRate" {
					t.Errorf("%s is true as well", v.Rule.Name)
				}
				continue
			}
			patience = v.Rule.For
			truth := map[string]alertd.Finding{}
			for _, f := range v.True {
				truth[f.Labels.String()] = f
			}
			for id, f := range now {
				if _, still := truth[id]; !still && (v.Scope == "" || v.Scope == f.Scope) {
					delete(since, id)
					delete(now, id)
				}
			}
			for id, f := range truth {
				now[id] = f
				if _, known := since[id]; !known {
					since[id] = v.At
				}
			}
		}
	}
	seq := uint64(0)
	for at := time.Duration(0); at <= lasts; at += time.Second {
		var samples []alertd.Sample
		for _, r := range readings {
			if v, says := r.value(at); says {
				samples = append(samples, alertd.Sample{Labels: series(t, r.series), T: began.Add(at).UnixMilli(), V: v})
			}
		}
		if len(samples) > 0 {
			seq++
			e.Append(began.Add(at), seq, samples)
		}
		hear(e.Run(began.Add(at)))
	}
	for id, f := range now {
		if began.Add(lasts).Sub(since[id]) >= patience {
			firing = append(firing, f)
		}
	}
	return firing, patience
}

// series reads name{label="value",…}.
func series(t *testing.T, text string) labels.Labels {
	t.Helper()
	name, rest, _ := strings.Cut(text, "{")
	pairs := []string{alertd.LabelMetric, name}
	for pair := range strings.SplitSeq(strings.TrimSuffix(rest, "}"), ",") {
		if label, value, ok := strings.Cut(pair, "="); ok {
			pairs = append(pairs, label, strings.Trim(value, `"`))
		}
	}
	return labels.FromStrings(pairs...)
}

// TestShippedOccurrenceRules does the same for the rules for which one event is enough.
func TestShippedOccurrenceRules(t *testing.T) {
	for _, c := range []struct {
		rule, typ, service, message string
		severity                    alertd.Severity
		summary, miss               string // a type that is near, but is another
	}{
		{"SecurityBreachDetected", "security.breach.detected", "api", "token of deploy used from two countries", alertd.Critical, "Security breach detected in api", "security.breach.contained"},
		{"SecurityBreachDetected", "security.breach.detected", "", "", alertd.Critical, "Security breach detected", "security.scan.completed"},
		{"DeploymentCompleted", "deployment.completed", "api", "v1.2.3 is live", alertd.Info, "api was deployed: v1.2.3", "deployment.started"},
		{"BackupSucceeded", "backup.succeeded", "db", "", alertd.Info, "Backup of db succeeded", "backup.failed"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			e := rules.NewEvaluator(shipped(t), rules.Options{}, began)
			of := map[string]string{}
			if c.service != "" {
				of["service"], of["version"] = c.service, "v1.2.3"
			}
			happened := alertd.Occurrence{Type: c.typ, Labels: labels.FromMap(of), Message: c.message, Time: began}
			verdicts := e.Observe(began, 1, []alertd.Occurrence{happened})
			if len(verdicts) != 1 || verdicts[0].Rule.Name != c.rule || len(verdicts[0].True) != 1 {
				t.Fatalf("%+v", verdicts)
			}
			f := verdicts[0].True[0]
			if got := f.Annotations.Labels().Get(alertd.AnnotationSummary); got != c.summary {
				t.Errorf("summary %q, want %q", got, c.summary)
			}
			if got := alertd.SeverityOf(f.Labels); got != c.severity {
				t.Errorf("severity %q, want %q", got, c.severity)
			}
			if got := f.Annotations.Labels().Get(alertd.AnnotationDescription); got == "" || !strings.Contains(got, c.message) {
				t.Errorf("description %q lacks the message %q", got, c.message)
			}
			if r := verdicts[0].Rule; !r.Occurrence || r.KeepFiringFor != day {
				t.Errorf("%+v", r)
			}
			happened.Type = c.miss
			if verdicts := e.Observe(began, 2, []alertd.Occurrence{happened}); len(verdicts) != 0 {
				t.Errorf("%s is true for %s", verdicts[0].Rule.Name, c.miss)
			}
		})
	}
}

// TestShippedAreKeyed counts, and checks that what belongs to a service or component is evaluated one by one.
func TestShippedAreKeyed(t *testing.T) {
	set := shipped(t)
	var names []string
	for _, x := range set.Explain() {
		if x.Rule == nil { // a recording rule
			continue
		}
		names = append(names, x.Rule.Name)
		if !x.Rule.Occurrence && !x.Keyed && x.Rule.Name != "NoEventsArriving" {
			t.Errorf("%s is evaluated whole: %s", x.Rule.Name, x.Partition)
		}
		if x.LookBack > 15*time.Minute {
			t.Errorf("%s looks back %s: a restart would have to read all that again", x.Rule.Name, x.LookBack)
		}
	}
	if len(names) != 14 {
		t.Errorf("%d rules: %v", len(names), names)
	}
}

// TestShippedAreForPrometheus: promtool takes every shipped rule file.
func TestShippedAreForPrometheus(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool here; Debian's package prometheus brings it")
	}
	files, err := fs.Glob(rules.Shipped(), "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, name := range files {
		if name == "routing.yaml" || name == "health.yaml" {
			continue // no rules
		}
		data, err := fs.ReadFile(rules.Shipped(), name)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("SUCCESS")) || bytes.Contains(out, []byte("SUCCESS: 0 rules")) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		checked++
	}
	if checked < 5 {
		t.Errorf("only %d files of rules in %v", checked, files)
	}
}
