package slack_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"alertd"
	"alertd/notifier/sendertest"
	"alertd/notifier/slack"
	"alertd/notifier/slacktest"
	"alertd/templates"

	"github.com/prometheus/prometheus/model/labels"
)

const shopTemplates = `
{{ define "shop.title" }}[{{ .Status | toUpper }}{{ if eq .Status "firing" }}:{{ .Alerts.Firing | len }}{{ end }}] {{ .CommonLabels.alertname }}{{ end }}
{{ define "shop.text" }}{{ range .Alerts }}*{{ .Labels.service }}*: {{ .Annotations.summary }} <{{ .Annotations.runbook_url }}|Runbook>
{{ end }}{{ end }}`

func set(t *testing.T, text string) *templates.Set {
	t.Helper()
	s, err := templates.Parse(templates.File{Name: "shop.tmpl", Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shop is what an existing alertmanager.yml may ask for.
func shop() *templates.Slack {
	t := templates.DefaultSlack()
	short := false
	t.Pretext = `{{ if eq .Status "firing" }}<!channel>{{ end }}`
	t.Title = `{{ template "shop.title" . }}`
	t.Text = `{{ template "shop.text" . }}`
	t.Footer = "{{ .Receiver }}, {{ .NotificationReason }}"
	t.Fields = []templates.SlackField{{Title: "Severity", Value: "{{ .CommonLabels.severity }}"}, {Title: "Alerts", Value: "{{ len .Alerts }}", Short: &short}}
	t.ShortFields = true
	t.Actions = []templates.SlackAction{
		{Type: "button", Text: "Silence", URL: `{{ .ExternalURL }}/#/silences/new?filter=%7Balertname%3D%22{{ .CommonLabels.alertname | urlquery }}%22%7D`},
	}
	return &t
}

// startWith returns a fake Slack and a sender with templates.
func startWith(t *testing.T, files string, texts *templates.Slack, channel string) (*slacktest.Server, *slack.Sender) {
	t.Helper()
	srv, _ := start(t)
	return srv, newSender(t, slack.Config{
		APIURL: srv.APIURL(), Token: slacktest.Token, Channel: channel, ExternalURL: "http://alertd.example.org",
		Templates: set(t, files), Texts: texts, Username: "{{ .Receiver }}bot", IconEmoji: ":fire:",
	})
}

func TestTemplated(t *testing.T) {
	srv, s := startWith(t, shopTemplates, shop(), "#ops")
	n := sendertest.Gallery()["page"]
	ref := send(t, s, n)
	grown := sendertest.Gallery()["grown"]
	grown.ID, grown.Ref = "n-2", ref
	send(t, s, grown)
	over := sendertest.Gallery()["resolved"]
	over.ID, over.Ref = "n-3", ref
	send(t, s, over)
	m := srv.Messages("ops")[0]
	if m.Username != "opsbot" || m.Icon != ":fire:" {
		t.Errorf("from %s, %s", m.Username, m.Icon)
	}
	var b strings.Builder
	b.WriteString(shot(srv))
	for _, a := range m.Attachments {
		fmt.Fprintf(&b, "attachment: %s\n", a)
	}
	golden(t, "templated", b.String())
}

// Only one of the keys makes the message Alertmanager's, with Alertmanager's defaults.
func TestDefaultTexts(t *testing.T) {
	texts := templates.DefaultSlack()
	texts.Text = "{{ range .Alerts }}{{ .Annotations.summary }}\n{{ end }}"
	srv, s := startWith(t, "", &texts, "#ops")
	send(t, s, sendertest.Gallery()["page"])
	golden(t, "templated-defaults", shot(srv))
}

func remarkOf(t *testing.T, err error) *alertd.DeliveryError {
	t.Helper()
	de, ok := errors.AsType[*alertd.DeliveryError](err)
	if !ok || de.Outcome != alertd.Delivered || de.Class != alertd.FailureTemplate {
		t.Fatalf("got %v, want delivered with a remark", err)
	}
	return de
}

// A template that fails does not cost the page.
func TestFailingTemplate(t *testing.T) {
	for name, text := range map[string]string{
		"no such template": `{{ template "gone" . }}`,
		"no such field":    `{{ .Alarms }}`,
		"out of range":     `{{ (index .Alerts 7).Labels.a }}`,
		"panics":           `{{ reReplaceAll "(" "" "x" }}`,
		"says nothing":     ``,
	} {
		t.Run(name, func(t *testing.T) {
			texts := templates.Slack{Text: text}
			srv, s := startWith(t, shopTemplates, &texts, "#ops")
			n := sendertest.Gallery()["page"]
			ref, err := s.Send(t.Context(), n)
			de := remarkOf(t, err)
			m := srv.Messages("ops")[0]
			if ref != "C0OPS:"+m.TS {
				t.Errorf("ref %q", ref)
			}
			for _, want := range []string{"CRITICAL", "roll it back first", "the receiver's template failed"} {
				if !strings.Contains(m.Plain(), want) {
					t.Errorf("no %q in %s", want, m.Plain())
				}
			}
			if !strings.Contains(de.Err.Error(), "alertd's own form") {
				t.Error(de.Err)
			}
			n.Ref, n.ID, n.Reason = ref, "n-2", alertd.ReasonRepeat
			_, err = s.Send(t.Context(), n)
			remarkOf(t, err)
			if ms := srv.Messages("ops"); len(ms) != 1 || len(ms[0].Replies) != 1 || !strings.Contains(ms[0].Replies[0].Plain(), "template failed") {
				t.Errorf("got %s", shot(srv))
			}
		})
	}
}

// What Slack refuses for its form is told in words.
func TestRefusedAttachmentBecomesText(t *testing.T) {
	srv, s := startWith(t, shopTemplates, shop(), "#ops")
	srv.Fail(slacktest.Fault{Method: "chat.postMessage", Error: "invalid_attachments"})
	send(t, s, sendertest.Gallery()["page"])
	if m := srv.Messages("ops")[0]; len(m.Attachments) > 0 || !strings.Contains(m.Text, "roll it back first") {
		t.Errorf("got %s", shot(srv))
	}
}

func TestTemplatedChannel(t *testing.T) {
	srv, s := startWith(t, "", nil, `#{{ .CommonLabels.service }}`)
	srv.AddChannel("checkout")
	n := sendertest.Gallery()["page"]
	ref := send(t, s, n)
	if ms := srv.Messages("checkout"); len(ms) != 1 || ref != "C0CHECKOUT:"+ms[0].TS {
		t.Fatalf("ref %q, %d messages", ref, len(ms))
	}
	got, found, err := s.Find(t.Context(), n) // by the id that the answer named
	if err != nil || !found || got != ref {
		t.Errorf("found %v: %q, %v", found, got, err)
	}
	n.Alerts = nil
	for _, channel := range []string{"{{ .Nothing }}", "{{ .CommonLabels.team }}"} {
		_, s := startWith(t, "", nil, channel)
		_, err := s.Send(t.Context(), n)
		de, ok := errors.AsType[*alertd.DeliveryError](err)
		if !ok || de.Outcome != alertd.Failed || de.Class != alertd.FailureTemplate {
			t.Errorf("%s: got %v", channel, err)
		}
	}
}

func TestRouteLabels(t *testing.T) {
	srv, s := startWith(t, "", nil, `{{ routeLabels "channel" }}`)
	n := sendertest.Gallery()["page"]
	n.RouteLabels = labels.FromStrings("channel", `#{{ routeLabels "team" }}`, "team", `{{ if eq .CommonLabels.severity "critical" }}ops{{ end }}`)
	send(t, s, n)
	if len(srv.Messages("ops")) != 1 {
		t.Error("nothing arrived")
	}
}

// Who can name a thing must not be able to call a whole channel. Texts and annotations may.
func TestLabelsAreNoMarkup(t *testing.T) {
	texts := templates.Slack{
		Title: "{{ .CommonLabels.service }}", Pretext: "<!here> {{ .GroupLabels.service }}",
		Text: "{{ range .Alerts }}{{ .Labels.service }} {{ .Labels.oncall }} {{ .Annotations.summary }} {{ .Annotations.who }}{{ end }}",
	}
	srv, s := startWith(t, "", &texts, "#ops")
	n := sendertest.Gallery()["page"]
	evil := "x<!channel> <http://evil.example|Runbook>"
	ls := labels.FromStrings("alertname", "A", "service", evil, "oncall", "<@U12345> <!subteam^S1|team>")
	n.GroupLabels = labels.FromStrings("service", evil)
	n.Alerts[0].Labels, n.Alerts[0].Annotations = ls, labels.FromStrings("summary", evil+" is down", "who", "<!channel>")
	send(t, s, n)
	got := srv.Messages("ops")[0].Plain()
	const tamed = "x&lt;!channel&gt; &lt;http://evil.example|Runbook&gt;"
	want := "<!here> " + tamed + "\n" + tamed + "\n" + tamed + " <@U12345> <!subteam^S1|team> " + tamed + " is down <!channel>"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLongTexts(t *testing.T) {
	long := strings.Repeat("a line of some length with a <https://example.org/|link>\n", 1000)
	texts := templates.Slack{Title: long, Pretext: long, Text: long, Fallback: long, Footer: long, MessageText: long, TitleLink: "https://example.org/über?a=ü"}
	for range 80 {
		texts.Fields = append(texts.Fields, templates.SlackField{Title: long, Value: long})
	}
	srv, s := startWith(t, "", &texts, "#ops")
	ref := send(t, s, sendertest.Gallery()["page"])
	n := sendertest.Gallery()["grown"]
	n.ID, n.Ref, n.Truncated = "n-2", ref, 12
	send(t, s, n)
	m := srv.Messages("ops")[0]
	if m.Edits != 1 || len(m.Attachments) != 1 || len(m.Attachments[0]) > 200_000 || !strings.Contains(m.Plain(), "and 12 more") ||
		!strings.Contains(m.Plain(), "<https://example.org/%C3%BCber?a=%C3%BC|") {
		t.Errorf("%d edits, %d bytes", m.Edits, len(m.Attachments[0]))
	}
}

func TestTemplatedWebhook(t *testing.T) {
	srv, _ := start(t)
	s := newSender(t, slack.Config{
		APIURL: srv.HookURL("ops"), Channel: "{{ .Nope }}", Username: "{{ .Nope }}", Templates: set(t, shopTemplates), Texts: shop(), LinkNames: true,
	})
	_, err := s.Send(t.Context(), sendertest.Gallery()["page"])
	de := remarkOf(t, err)
	if !strings.Contains(de.Err.Error(), "own channel") {
		t.Error(de)
	}
	if ms := srv.Messages("ops"); len(ms) != 1 || !strings.Contains(ms[0].Plain(), "[FIRING:1] ApplicationDown") {
		t.Errorf("got %s", shot(srv))
	}
}
