package notifier_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"alertd"
	"alertd/notifier"
	"alertd/notifier/sendertest"

	"github.com/prometheus/prometheus/model/labels"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 0: "0s", 999 * time.Millisecond: "0s", 45 * time.Second: "45s", 5 * time.Minute: "5m",
		5*time.Minute + 30*time.Second: "5m 30s", 12*time.Minute + 30*time.Second: "12m", 2*time.Hour + 10*time.Minute: "2h 10m",
		time.Hour: "1h", time.Hour + 30*time.Second: "1h", 26 * time.Hour: "1d 2h", 72*time.Hour + 5*time.Minute: "3d",
	} {
		if got := notifier.Span(d); got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
}

func TestValue(t *testing.T) {
	for v, want := range map[alertd.Value]string{
		0: "0", 42: "42", -1: "-1", 99999: "99999", 0.123456: "0.1235", 1234567: "1.235M", 250000: "250k",
		5e9: "5G", 2.5e13: "25T", 1e21: "1e+21", 0.00001234: "1.234e-05", alertd.Value(math.Inf(1)): "+Inf", 1234.5678: "1235",
	} {
		if got := notifier.Value(v); got != want {
			t.Errorf("%v: got %q, want %q", float64(v), got, want)
		}
	}
	if got := notifier.Value(alertd.Value(math.NaN())); got != "NaN" {
		t.Errorf("NaN: got %q", got)
	}
}

func TestLink(t *testing.T) {
	for in, want := range map[string]string{
		"https://r.example.org/a?b=c&d#e":       "https://r.example.org/a?b=c&d#e",
		" http://x/y ":                          "http://x/y",
		"javascript:alert(1)":                   "",
		"file:///etc/passwd":                    "",
		"//host/path":                           "",
		"https://":                              "",
		"http://x/a|b>c<!channel>":              "http://x/a%7Cb%3Ec%3C%21channel%3E",
		"http://x/a?q=|<!channel>`":             "http://x/a?q=%7C%3C!channel%3E%60",
		"http://x/\x1b[31m":                     "",
		"http://x/ü":                            "http://x/%C3%BC",
		"http://x/" + strings.Repeat("a", 2000): "",
	} {
		if got := notifier.Link(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a  b\n\x1b[31mred\x1b[0m \u202eevil\u200b", 10)
	f.Add(strings.Repeat("ü ", 50), 7)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = min(max(limit, 0), 500)
		got := notifier.Line(s, limit)
		if n := utf8.RuneCountInString(got); n > limit {
			t.Errorf("%d runes, limit %d: %q", n, limit, got)
		}
		if !utf8.ValidString(got) || strings.Contains(got, "  ") || got != strings.TrimSpace(got) {
			t.Errorf("not a clean line: %q", got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || (unicode.Is(unicode.Cf, r) && r != '\u200d') {
				t.Errorf("%q holds %U", got, r)
			}
		}
		if again := notifier.Line(got, limit); again != got {
			t.Errorf("not stable: %q, then %q", got, again)
		}
	})
}

func TestTitle(t *testing.T) {
	alert := func(name, service string, sev alertd.Severity, st alertd.State) alertd.Notified {
		return alertd.Notified{Alert: alertd.Alert{State: st, Labels: labels.FromStrings("alertname", name, "service", service, "severity", string(sev))}}
	}
	down := alert("ApplicationDown", "checkout", alertd.Critical, alertd.Firing)
	over := alert("ApplicationDown", "checkout", alertd.Critical, alertd.Resolved)
	disk := alert("DiskUsageHigh", "db", alertd.Warning, alertd.Firing)
	for _, tc := range []struct {
		n    alertd.Notification
		want string
	}{
		{alertd.Notification{Alerts: []alertd.Notified{down}}, "CRITICAL · ApplicationDown · checkout"},
		{alertd.Notification{Alerts: []alertd.Notified{over}}, "RESOLVED · ApplicationDown · checkout"},
		{alertd.Notification{Alerts: []alertd.Notified{down, over}}, "CRITICAL · ApplicationDown · 1 firing, 1 resolved · checkout"},
		{alertd.Notification{Alerts: []alertd.Notified{disk, over}, Truncated: 7}, "WARNING · DiskUsageHigh · 1 firing, 1 resolved and 7 more"},
		{alertd.Notification{Alerts: []alertd.Notified{disk, disk, over}, Digest: true}, "Business hours: 2 warnings still firing, 1 resolved while held"},
		{alertd.Notification{Alerts: []alertd.Notified{over}, Digest: true}, "Business hours: 1 resolved while held · ApplicationDown · checkout"},
		{alertd.Notification{
			Alerts: []alertd.Notified{disk, disk}, Digest: true, DueAt: time.Date(2026, 3, 27, 9, 0, 0, 0, time.UTC), PlannedAt: time.Date(2026, 3, 27, 10, 12, 0, 0, time.UTC),
		}, "Business hours, 1h 12m late: 2 warnings still firing"},
		{alertd.Notification{Alerts: []alertd.Notified{down, disk, over}, Summary: &alertd.Summary{Firing: 2, Resolved: 1}}, "CRITICAL · 2 more groups firing, 1 resolved · ApplicationDown, DiskUsageHigh"},
		{alertd.Notification{Alerts: []alertd.Notified{down}, Summary: &alertd.Summary{Firing: 1}}, "CRITICAL · 1 more group firing · ApplicationDown"},
		{alertd.Notification{Alerts: []alertd.Notified{over}, Summary: &alertd.Summary{Resolved: 9}}, "9 more groups resolved · ApplicationDown"},
		{alertd.Notification{}, "RESOLVED"},
	} {
		if got := notifier.Title(&tc.n); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

// Templates find where to take an alert, and where all that the notification tells; what somebody has already is not offered.
func TestAckLinksInTemplates(t *testing.T) {
	n := sendertest.Gallery()["grown"]
	n.Alerts = slices.Clone(n.Alerts)
	n.Alerts[0].Ack = &alertd.Ack{By: "eva"}
	d := notifier.TemplateData(&n, "http://a.example/x")
	for i, a := range d.Alerts {
		want := "http://a.example/x/ack?alert=" + a.Fingerprint
		if a.Fingerprint == n.Alerts[0].Fingerprint.String() || a.Status != "firing" {
			want = ""
		}
		if got := a.Annotations["ack_url"]; got != want {
			t.Errorf("alert %d: got %q, want %q", i, got, want)
		}
	}
	if got := d.CommonAnnotations["ack_url"]; !strings.HasPrefix(got, "http://a.example/x/ack?group=") {
		t.Errorf("of the group: %q", got)
	}
	n = sendertest.Gallery()["digest"]
	if got := notifier.TemplateData(&n, "http://a.example/x").CommonAnnotations["ack_url"]; got != "http://a.example/x/?notification=9b2f6c1e" {
		t.Errorf("of a digest: %q", got)
	}
	if got := notifier.TemplateData(&n, ""); got.CommonAnnotations["ack_url"] != "" || got.Alerts[0].Annotations["ack_url"] != "" {
		t.Error("there is no page to link to")
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 15, 10, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Duration{
		"": 0, "x": 0, "-5": 0, "7": 7 * time.Second, "0.5": 500 * time.Millisecond, "1e300": time.Hour, "NaN": time.Hour, "90000": time.Hour,
		"Thu, 15 Jan 2026 10:02:00 GMT": 2 * time.Minute, "Thu, 15 Jan 2026 09:00:00 GMT": 0, "Fri, 16 Jan 2026 09:00:00 GMT": time.Hour,
	} {
		if got := notifier.ParseRetryAfter(s, now); got != want {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	}
}
