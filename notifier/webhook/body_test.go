package webhook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"alertd"
	"alertd/notifier/sendertest"
	"alertd/notifier/webhook"
	"alertd/templates"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
)

func set(t *testing.T, text string) *templates.Set {
	t.Helper()
	s, err := templates.Parse(templates.File{Name: "shop.tmpl", Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A payload may have the form that a chat wants; what its texts say may be structures themselves.
func TestPayload(t *testing.T) {
	got := send(t, webhook.Config{
		Templates: set(t, `{{ define "who" }}{{ .CommonLabels.service }}{{ end }}`), MaxAlerts: 1,
		Payload: map[string]any{
			"text": `{{ .Status }} {{ template "who" . }}`, "{{ .Receiver }}": true, "n": 3, "list": []any{"{{ len .Alerts }}", nil},
			"alerts": "{{ .Alerts | toJson }}", "labels": `{{ .CommonLabels | toJson }}`, "team": `{{ routeLabels "team" }}`,
			"subject": `[{{ .Status | toUpper }}:1] {{ template "who" . }}`, "quoted": `"{{ .Status }}" it is`, "open": `{ {{ .Status }}`,
		},
	}, routed(sendertest.Gallery()["grown"]))
	var body map[string]any
	if err := json.Unmarshal(got.body, &body); err != nil {
		t.Fatalf("%v: %s", err, got.body)
	}
	alerts, _ := body["alerts"].([]any)
	delete(body, "alerts")
	want := map[string]any{
		"text": "firing checkout", "ops": true, "n": 3.0, "list": []any{1.0, nil}, "team": "critical",
		"subject": "[FIRING:1] checkout", "quoted": `"firing" it is`, "open": "{ firing",
		"labels": map[string]any{"alertname": "ApplicationDown", "service": "checkout", "severity": "critical"},
	}
	if diff := cmp.Diff(want, body); diff != "" || len(alerts) != 1 {
		t.Errorf("%d alerts; (-want +got)\n%s", len(alerts), diff)
	}
}

func routed(n alertd.Notification) alertd.Notification {
	n.RouteLabels = labels.FromStrings("team", "{{ .CommonLabels.severity }}")
	return n
}

func TestRouteLabelsInTheBody(t *testing.T) {
	got := send(t, webhook.Config{Templates: set(t, "")}, routed(sendertest.Page()))
	if !strings.Contains(string(got.body), `"routeLabels":{"team":"critical"}`) {
		t.Errorf("got %s", got.body)
	}
}

func remarkOf(t *testing.T, err error, o alertd.Outcome) *alertd.DeliveryError {
	t.Helper()
	de, ok := errors.AsType[*alertd.DeliveryError](err)
	if !ok || de.Outcome != o || de.Class != alertd.FailureTemplate {
		t.Fatalf("got %v, want %s with class template", err, o)
	}
	return de
}

// A payload that cannot be made does not cost the page.
func TestFailingPayload(t *testing.T) {
	bodies := make(chan []byte, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies <- body
	}))
	defer srv.Close()
	for _, text := range []string{`{{ template "gone" . }}`, `{{ .Nope }}`, `.nan`} {
		s := newSender(t, webhook.Config{URL: srv.URL, Templates: set(t, ""), Payload: map[string]any{"text": text}})
		_, err := s.Send(t.Context(), sendertest.Page())
		remarkOf(t, err, alertd.Delivered)
		body := <-bodies
		var got struct {
			Version string
			Alertd  struct{ Problem string }
		}
		if err := json.Unmarshal(body, &got); err != nil || got.Version != "4" || !strings.Contains(got.Alertd.Problem, "payload") {
			t.Errorf("%s: %v: %s", text, err, body)
		}
	}
}

func TestTemplatedURL(t *testing.T) {
	paths := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths <- r.URL.Path
		http.Error(w, "I know "+r.URL.String(), http.StatusTeapot)
	}))
	defer srv.Close()
	s := newSender(t, webhook.Config{URL: srv.URL + `/TOPSECRET/{{ .CommonLabels.service | urlquery }}`, Templates: set(t, "")})
	_, err := s.Send(t.Context(), sendertest.Page())
	var path string
	select {
	case path = <-paths:
	default: // nothing was sent
	}
	if path != "/TOPSECRET/checkout" || err == nil || strings.Contains(err.Error(), "TOPSECRET") {
		t.Errorf("path %s, %v", path, err)
	}
	for _, url := range []string{srv.URL + `/TOPSECRET/{{ .Nope }}`, `{{ .CommonLabels.team }}`, `TOPSECRET{{ .Status }}`} {
		_, err := newSender(t, webhook.Config{URL: url, Templates: set(t, "")}).Send(t.Context(), sendertest.Page())
		if de := remarkOf(t, err, alertd.Failed); strings.Contains(de.Error(), "TOPSECRET") {
			t.Errorf("%s: %v", url, de)
		}
	}
}

// A digest that leaves late says so, and nobody learns from where its alerts were taken.
func TestLateDigest(t *testing.T) {
	var body struct {
		Alertd struct {
			DueAt time.Time
			Note  string
			Acks  map[string]map[string]any
		}
	}
	n := sendertest.Gallery()["digest"]
	n.Alerts[0].Ack = &alertd.Ack{By: "eva", From: alertd.FromWeb, Client: "192.0.2.7"}
	for _, late := range []bool{false, true} {
		body.Alertd.DueAt, body.Alertd.Note = time.Time{}, ""
		if late {
			n.DueAt = n.PlannedAt.Add(-72 * time.Minute)
		}
		sent := send(t, webhook.Config{}, n).body
		if err := json.Unmarshal(sent, &body); err != nil {
			t.Fatal(err)
		}
		if note := body.Alertd.Note; !body.Alertd.DueAt.Equal(n.DueAt) || late != (note == "This digest is 1h 12m late.") || bytes.Contains(sent, []byte("dueAt")) != late {
			t.Errorf("late %v: %s", late, sent)
		}
		if ack := body.Alertd.Acks[n.Alerts[0].Fingerprint.String()]; ack["by"] != "eva" || bytes.Contains(sent, []byte("192.0.2.7")) {
			t.Errorf("%s", sent)
		}
	}
}

// A summary is Alertmanager's body about the alerts that it shows, with a note that says what it stands for.
func TestSummaryHasANote(t *testing.T) {
	var body struct {
		GroupKey        string
		TruncatedAlerts int
		Alerts          []any
		Alertd          struct {
			Note    string
			Summary alertd.Summary
		}
	}
	if err := json.Unmarshal(send(t, webhook.Config{}, sendertest.Gallery()["summary"]).body, &body); err != nil {
		t.Fatal(err)
	}
	want := "480 more groups firing, 9 resolved. In place of a message for each: ops gets at most 20 a minute."
	if body.Alertd.Note != want || body.Alertd.Summary != (alertd.Summary{Firing: 480, Resolved: 9, Limit: 20}) {
		t.Errorf("%+v", body.Alertd)
	}
	if body.GroupKey != "summary:ops" || body.TruncatedAlerts != 480 || len(body.Alerts) != 9 {
		t.Errorf("group %s, %d alerts, %d more", body.GroupKey, len(body.Alerts), body.TruncatedAlerts)
	}
}
