package slack_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"alertd"
	"alertd/notifier/sendertest"
	"alertd/notifier/slack"
	"alertd/notifier/slacktest"

	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"
)

// What we ourselves put between angle brackets: dates and links.
var ours = regexp.MustCompile(`<!date\^-?\d+\^\{date_short_pretty\} \{time\}\|[-0-9: ]+UTC>|<https?://[^<>|]*\|(Runbook|Trace|Acknowledge|Silence|Open alertd)>`)

// Whatever the alerts hold, Slack takes the message as it is, and nothing in it is a mention or a link but ours.
func TestAnyAlertsMakeAGoodMessage(t *testing.T) {
	srv, _ := start(t)
	s := newSender(t, slack.Config{APIURL: srv.APIURL(), Token: slacktest.Token, Channel: "C0OPS", ExternalURL: "http://alertd.example.org/?a=1&b=2"})
	text := rapid.OneOf(
		rapid.StringN(0, 80, 4000),
		rapid.SampledFrom([]string{"", "<!channel>", "<!here|x>", "<@U1>", "&&&&", "@channel", "https://x/|<!channel>", strings.Repeat("<", 3000), strings.Repeat("&", 9000), strings.Repeat("𝄞", 5000), strings.Repeat("word ", 2000)}),
	)
	link := rapid.OneOf(text, rapid.Custom(func(t *rapid.T) string { return "https://x.example.org/?q=" + text.Draw(t, "q") }),
		rapid.Just("https://x.example.org/"+strings.Repeat("&", 790)))
	alert := rapid.Custom(func(t *rapid.T) alertd.Notified {
		n := sendertest.Page()
		a := n.Alerts[0]
		a.Labels = labels.FromMap(map[string]string{
			"alertname": text.Draw(t, "name"), "service": text.Draw(t, "service"), "instance": text.Draw(t, "instance"),
			"severity": rapid.OneOf(rapid.SampledFrom([]string{"critical", "warning", "info"}), text).Draw(t, "severity"),
		})
		a.Annotations = labels.FromMap(map[string]string{"summary": text.Draw(t, "summary"), "next_step": text.Draw(t, "next"), "reason": text.Draw(t, "why"), "runbook_url": link.Draw(t, "book")})
		a.State = rapid.SampledFrom([]alertd.State{alertd.Firing, alertd.Recovering, alertd.Resolved}).Draw(t, "state")
		a.Fresh = rapid.Bool().Draw(t, "fresh")
		a.RunbookURL, a.TraceURL = link.Draw(t, "runbook"), link.Draw(t, "trace")
		a.Trace.TraceID = text.Draw(t, "trace id")
		a.ActiveAt = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "active"), 0)
		a.ResolvedAt = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "resolved"), 0)
		a.Value = alertd.Value(rapid.Float64().Draw(t, "value"))
		return a
	})
	rapid.Check(t, func(t *rapid.T) {
		n := sendertest.Page()
		n.Alerts = rapid.SliceOfN(alert, 1, 12).Draw(t, "alerts")
		if many := rapid.IntRange(1, 40).Draw(t, "times"); rapid.Bool().Draw(t, "storm") {
			for i := range many { // as wide as it gets, quickly
				n.Alerts = append(n.Alerts, n.Alerts[i%len(n.Alerts)])
			}
		}
		n.Truncated = rapid.IntRange(0, 1000).Draw(t, "truncated")
		if n.Digest = rapid.Bool().Draw(t, "digest"); !n.Digest && rapid.Bool().Draw(t, "summary") {
			n.Summary = &alertd.Summary{Firing: rapid.IntRange(0, 1e9).Draw(t, "groups"), Limit: 20}
		}
		n.Receiver = text.Draw(t, "receiver")
		n.Reason = rapid.SampledFrom([]alertd.Reason{
			alertd.ReasonFirst, alertd.ReasonNewAlerts, alertd.ReasonSomeResolved, alertd.ReasonAllResolved, alertd.ReasonRepeat, alertd.ReasonDigest, alertd.ReasonAcked, alertd.ReasonUnacked, alertd.ReasonRepage,
		}).Draw(t, "reason")
		before, calls := len(srv.Messages("ops")), len(srv.Calls())

		ref, err := s.Send(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		n.Ref = ref
		if _, err := s.Send(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		made := srv.Calls()[calls:]
		if want := 3; !n.Collective() && len(made) != want || n.Collective() && len(made) != 2 {
			t.Errorf("Slack refused something: %v", made)
		}
		for _, root := range srv.Messages("ops")[before:] {
			for _, m := range append(root.Replies, root) {
				inspect(t, m)
			}
		}
		// Refused blocks become text, which must be as good.
		srv.Fail(slacktest.Fault{Error: "invalid_blocks"})
		n.Ref = ""
		if _, err := s.Send(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		all := srv.Messages("ops")
		inspect(t, all[len(all)-1])
		for _, m := range all {
			srv.Delete("ops", m.TS)
			for _, r := range m.Replies {
				srv.Delete("ops", r.TS)
			}
		}
	})
}

func inspect(t *rapid.T, m slacktest.Message) {
	if len([]rune(m.Text)) > 4000 || strings.TrimSpace(m.Text) == "" {
		t.Errorf("text of %d characters", len(m.Text))
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			if rest := ours.ReplaceAllString(v, ""); strings.ContainsAny(rest, "<>") {
				t.Errorf("markup from outside: %q", rest)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if v["type"] == "mrkdwn" && v["verbatim"] != true {
				t.Errorf("not verbatim: %v", v)
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(m.Text)
	for _, raw := range append(m.Blocks, m.Attachments...) {
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
		walk(v)
	}
	if total := len([]rune(m.Plain())); total > 9000+100 {
		t.Errorf("%d characters in blocks", total)
	}
}

func TestAlertsOfOneServiceAreToldApart(t *testing.T) {
	srv, s := start(t)
	n := sendertest.Page()
	n.Alerts = nil
	for i := range 8 {
		a := sendertest.Page().Alerts[0]
		a.Labels = labels.FromStrings("alertname", "DiskUsageHigh", "service", "db", "severity", "warning", "instance", fmt.Sprintf("db-%d", i), "team", "storage")
		n.Alerts = append(n.Alerts, a)
	}
	send(t, s, n)
	got := srv.Messages("ops")[0].Plain()
	for i := range 8 {
		if !strings.Contains(got, fmt.Sprintf("instance=db-%d", i)) {
			t.Errorf("no db-%d in\n%s", i, got)
		}
	}
	if strings.Contains(got, "team=") {
		t.Errorf("what all share tells nothing apart:\n%s", got)
	}
}

// The widest that every field can get, so that the budgets for blocks, sections and all of it must each hold.
func TestTheWidestMessageFits(t *testing.T) {
	srv, s := start(t)
	for _, wide := range []string{strings.Repeat("W", 5000), strings.Repeat("&", 5000), strings.Repeat("𝄞", 5000)} {
		n := sendertest.Page()
		n.Alerts, n.Truncated, n.Receiver = nil, 1e9, wide
		for i := range 120 {
			a := sendertest.Page().Alerts[0]
			a.Labels = labels.FromStrings("alertname", wide, "service", wide, "severity", "critical", "instance", fmt.Sprint(i)+wide)
			a.Annotations = labels.FromStrings("summary", wide, "next_step", fmt.Sprint(i)+wide, "reason", fmt.Sprint("why", i)+wide, "affected", wide)
			a.RunbookURL = fmt.Sprintf("https://x/%d?%s", i, strings.Repeat("&", 780))
			a.TraceURL = a.RunbookURL
			if i%2 == 1 {
				a.State = alertd.Resolved
			}
			n.Alerts = append(n.Alerts, a)
		}
		calls := len(srv.Calls())
		n.Ref = send(t, s, n)
		send(t, s, n)
		if made := srv.Calls()[calls:]; len(made) != 3 {
			t.Errorf("Slack refused something: %v", made)
		}
		ms := srv.Messages("ops")
		root := ms[len(ms)-1]
		for _, m := range append(root.Replies, root) {
			if total := len(utf16.Encode([]rune(m.Plain()))); total > 9000+100 || total < 3000 {
				t.Errorf("%d characters in blocks", total)
			}
			if !strings.Contains(m.Plain(), "more") {
				t.Errorf("nothing says that some are left out:\n%s", m.Plain())
			}
		}
	}
}

// One alert that says as much as it can is still told at length.
func TestTheWidestAlertIsTold(t *testing.T) {
	srv, s := start(t)
	for _, wide := range []string{strings.Repeat("W", 5000), strings.Repeat("&", 5000)} {
		n := sendertest.Page()
		a := &n.Alerts[0]
		a.Annotations = labels.FromStrings("summary", wide, "next_step", "n"+wide, "reason", "r"+wide, "affected", "a"+wide)
		a.RunbookURL, a.TraceURL, a.TraceNote = "https://x/?"+strings.Repeat("&", 780), "https://y/?"+strings.Repeat("&", 780), wide
		a.Dashboards = []alertd.Link{{Title: wide, URL: "https://z/?" + strings.Repeat("&", 780)}}
		a.Ack, a.Changes = &alertd.Ack{By: wide, Why: wide}, 7
		n.Ref = ""
		send(t, s, n)
		ms := srv.Messages("ops")
		got := ms[len(ms)-1].Plain()
		for _, want := range []string{"*Because:*", "*Affects:*", "*Do next:*", "since "} {
			if !strings.Contains(got, want) {
				t.Errorf("no %s in\n%s", want, got)
			}
		}
	}
}
