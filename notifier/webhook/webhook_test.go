package webhook_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"alertd"
	"alertd/notifier"
	"alertd/notifier/sendertest"
	"alertd/notifier/webhook"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	oldSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	newSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

func TestContract(t *testing.T) {
	sendertest.Run(t, sendertest.Subject{
		New: func(t *testing.T, base string) notifier.Sender {
			base = strings.Replace(base, "http://", "http://user:hunter2hunter2@", 1)
			return newSender(t, webhook.Config{URL: base + "hooks/T0SECRETPATH?key=QUERYSECRET", Secrets: []string{oldSecret}})
		},
		Secrets: []string{"T0SECRETPATH", "QUERYSECRET", "hunter2hunter2", strings.TrimPrefix(oldSecret, "whsec_")},
	})
}

func newSender(t *testing.T, c webhook.Config) *webhook.Sender {
	t.Helper()
	if c.HTTPClient == nil {
		c.HTTPClient = notifier.NewClientWith(nil, direct, nil)
		t.Cleanup(c.HTTPClient.CloseIdleConnections)
	}
	s, err := webhook.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// direct is no proxy, whatever the environment says.
func direct(*http.Request) (*url.URL, error) { return nil, nil }

// received is what one delivery brought.
type received struct {
	header http.Header
	body   []byte
}

func send(t *testing.T, c webhook.Config, n alertd.Notification) received {
	t.Helper()
	arrived := make(chan received, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		arrived <- received{r.Header, body}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer srv.Close()
	c.URL = srv.URL
	if _, err := newSender(t, c).Send(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return <-arrived
}

func TestBodyIsAlertmanagers(t *testing.T) {
	n := sendertest.Page()
	n.Alerts[0].Trace = alertd.TraceRef{TraceID: "4bf92f3577b34da6a3ce929d0e0e4736"}
	n.Alerts[0].TraceURL = "https://traces.example.org/4bf92f3577b34da6a3ce929d0e0e4736"
	over := n.Alerts[0]
	over.Labels = labels.FromStrings("alertname", "ApplicationDown", "severity", "critical", "service", "search")
	over.Annotations = labels.FromStrings("summary", "search is down", "runbook_url", "https://example.org/own")
	over.Fingerprint = alertd.FingerprintOf(over.Labels)
	over.State, over.ResolvedAt = alertd.Resolved, n.PlannedAt.Add(-time.Second)
	n.Alerts = append(n.Alerts, over)
	n.Truncated = 3

	got := send(t, webhook.Config{ExternalURL: "http://alertd.example.org"}, n)
	const want = `{
  "version": "4",
  "groupKey": "{}:{alertname=\"ApplicationDown\"}",
  "truncatedAlerts": 3,
  "receiver": "ops",
  "status": "firing",
  "notification_reason": "first notification",
  "groupLabels": {"alertname": "ApplicationDown"},
  "commonLabels": {"alertname": "ApplicationDown", "severity": "critical"},
  "commonAnnotations": {
    "ack_url": "http://alertd.example.org/ack?group=%7B%7D%3A%7Balertname%3D%22ApplicationDown%22%7D",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "trace_url": "https://traces.example.org/4bf92f3577b34da6a3ce929d0e0e4736"
  },
  "routeLabels": {},
  "externalURL": "http://alertd.example.org",
  "alerts": [
    {
      "status": "firing",
      "labels": {"alertname": "ApplicationDown", "service": "checkout", "severity": "critical"},
      "annotations": {
        "ack_url": "http://alertd.example.org/ack?alert=da049d45037a89af",
        "next_step": "Roll back the last deployment",
        "runbook_url": "https://runbooks.example.org/application-down",
        "summary": "checkout is down",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "trace_url": "https://traces.example.org/4bf92f3577b34da6a3ce929d0e0e4736"
      },
      "startsAt": "2026-01-15T10:30:00Z",
      "endsAt": "0001-01-01T00:00:00Z",
      "generatorURL": "http://alertd.example.org",
      "fingerprint": "FP1"
    },
    {
      "status": "resolved",
      "labels": {"alertname": "ApplicationDown", "service": "search", "severity": "critical"},
      "annotations": {
        "runbook_url": "https://example.org/own",
        "summary": "search is down",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "trace_url": "https://traces.example.org/4bf92f3577b34da6a3ce929d0e0e4736"
      },
      "startsAt": "2026-01-15T10:30:00Z",
      "endsAt": "2026-01-15T10:29:59Z",
      "generatorURL": "http://alertd.example.org",
      "fingerprint": "FP2"
    }
  ],
  "alertd": {"id": "n-1", "seq": 1, "severity": "critical", "digest": false, "ackURL": "http://alertd.example.org/ack?group=%7B%7D%3A%7Balertname%3D%22ApplicationDown%22%7D",
    "silenceURL": "http://alertd.example.org/silences/new?filter=alertname%3D%22ApplicationDown%22%2C+service%3D%22checkout%22%2C+severity%3D%22critical%22"}
}`
	expected := strings.NewReplacer("FP1", n.Alerts[0].Fingerprint.String(), "FP2", over.Fingerprint.String()).Replace(want)
	if diff := cmp.Diff(decode(t, []byte(expected)), decode(t, got.body)); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if ct := got.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("content type %q", ct)
	}
}

func decode(t *testing.T, b []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return v
}

func TestMaxAlertsKeepsTheMostUrgent(t *testing.T) {
	n := sendertest.Page()
	for range 4 {
		a := n.Alerts[0]
		a.State = alertd.Resolved
		n.Alerts = append([]alertd.Notified{a}, n.Alerts...)
	}
	var body struct {
		TruncatedAlerts int
		Status          string
		Alerts          []struct{ Status string }
	}
	if err := json.Unmarshal(send(t, webhook.Config{MaxAlerts: 2}, n).body, &body); err != nil {
		t.Fatal(err)
	}
	if body.TruncatedAlerts != 3 || len(body.Alerts) != 2 || body.Alerts[0].Status != "firing" || body.Status != "firing" {
		t.Errorf("got %+v", body)
	}
}

// The library of Standard Webhooks is the judge of our own forty lines.
func TestSignaturesOfBothSecrets(t *testing.T) {
	got := send(t, webhook.Config{Secrets: []string{oldSecret, newSecret}}, sendertest.Page())
	if id := got.header.Get("webhook-id"); id != "n-1" {
		t.Errorf("webhook-id %q, want the notification's id", id)
	}
	for _, secret := range []string{oldSecret, newSecret} {
		wh, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := wh.Verify(got.body, got.header); err != nil {
			t.Errorf("%s: %v", secret, err)
		}
		if err := wh.Verify(append(got.body, ' '), got.header); err == nil {
			t.Error("a changed body verifies")
		}
	}
	if sig := send(t, webhook.Config{}, sendertest.Page()).header.Get("webhook-signature"); sig != "" {
		t.Errorf("signed without a secret: %q", sig)
	}
}

func TestConfigErrorsSayWhatToType(t *testing.T) {
	for _, tc := range []struct {
		c    webhook.Config
		want string
	}{
		{webhook.Config{URL: "ftp://x/SECRET"}, "http://"},
		{webhook.Config{URL: "https://"}, "name a host"},
		{webhook.Config{URL: "https://x\n/SECRET"}, "https://example.org/hook"},
		{webhook.Config{URL: "https://x/", Secrets: []string{oldSecret, "SECRET"}}, "secret 2: it must begin with whsec_"},
		{webhook.Config{URL: "https://x/", Secrets: []string{"whsec_SECRET!"}}, "base64"},
		{webhook.Config{URL: "https://x/", Secrets: []string{"whsec_"}}, "24 to 64 bytes, not 0"},
	} {
		_, err := webhook.New(tc.c)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("got %v, want one with %q and without the secret", err, tc.want)
		}
	}
}
