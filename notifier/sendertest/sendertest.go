// Package sendertest is the contract of a [notifier.Sender] as a test: every sender that speaks HTTP calls [Run]
// in one line.
package sendertest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"alertd"
	"alertd/notifier"

	"github.com/prometheus/prometheus/model/labels"
)

// Subject is a kind of sender.
type Subject struct {
	// New makes a sender that talks to the server at base, which is "http://127.0.0.1:PORT/".
	New func(t *testing.T, base string) notifier.Sender
	// OK is the body with which a content peer answers 200.
	OK string
	// Secrets may be in no error. The peer of the suite repeats all that it was sent.
	Secrets []string
	// Finds is true if an answer that says nothing can be looked up, so that 500 and 502 count as Unknown.
	Finds bool
}

// Page returns a critical notification of one alert.
func Page() alertd.Notification {
	at := time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)
	ls := labels.FromStrings("alertname", "ApplicationDown", "severity", "critical", "service", "checkout")
	return alertd.Notification{
		ID: "n-1", Receiver: "ops", Integration: "test/0", Group: `{}:{alertname="ApplicationDown"}`,
		GroupLabels: labels.FromStrings("alertname", "ApplicationDown"), Reason: alertd.ReasonFirst, Seq: 1, PlannedAt: at,
		Alerts: []alertd.Notified{{Fresh: true, Alert: alertd.Alert{
			Fingerprint: alertd.FingerprintOf(ls), Rule: "apps.yaml:apps:ApplicationDown", Labels: ls,
			Annotations: labels.FromStrings("summary", "checkout is down", "next_step", "Roll back the last deployment"),
			State:       alertd.Firing, Value: 0, ActiveAt: at.Add(-time.Minute), FiredAt: at, At: at,
			RunbookURL: "https://runbooks.example.org/application-down",
		}}},
	}
}

// Run holds a sender to the contract: each answer gets the outcome and class that the engine plans with, and no error
// shows a secret.
func Run(t *testing.T, s Subject) {
	t.Helper()
	unclear := alertd.Retry
	if s.Finds {
		unclear = alertd.Unknown
	}
	for _, tc := range []struct {
		name    string
		handler http.HandlerFunc
		outcome alertd.Outcome
		class   alertd.FailureClass
		after   time.Duration
	}{
		{name: "200", handler: answer(200, s.OK)},
		{name: "302", handler: elsewhere(t), outcome: alertd.Failed, class: alertd.FailureDestination},
		{name: "400", handler: answer(400, "bad"), outcome: alertd.Failed, class: alertd.FailurePayload},
		{name: "401", handler: answer(401, "no"), outcome: alertd.Failed, class: alertd.FailureAuth},
		{name: "404", handler: answer(404, "?"), outcome: alertd.Failed, class: alertd.FailureDestination},
		{name: "408", handler: answer(408, "slow"), outcome: alertd.Retry, class: alertd.FailureTimeout},
		{name: "410", handler: answer(410, "gone"), outcome: alertd.Failed, class: alertd.FailureDestination},
		{name: "429", handler: later(429, "7"), outcome: alertd.Retry, class: alertd.FailureRateLimited, after: 7 * time.Second},
		{name: "429 for days", handler: later(429, "999999"), outcome: alertd.Retry, class: alertd.FailureRateLimited, after: time.Hour},
		{name: "429 without a time", handler: answer(429, ""), outcome: alertd.Retry, class: alertd.FailureRateLimited},
		{name: "500", handler: answer(500, "oops"), outcome: unclear, class: alertd.FailureServer},
		{name: "502", handler: answer(502, "<html>"), outcome: unclear, class: alertd.FailureServer},
		{name: "503", handler: answer(503, "busy"), outcome: alertd.Retry, class: alertd.FailureServer},
		{name: "dropped connection", handler: drop, outcome: alertd.Unknown, class: alertd.FailureServer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := httptest.NewServer(tc.handler)
			defer srv.Close()
			expect(t, s, srv.URL+"/", tc.outcome, tc.class, tc.after)
		})
	}
	t.Run("no answer", func(t *testing.T) {
		taken := make(chan struct{}, 1)
		srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			taken <- struct{}{}
			<-r.Context().Done()
		}))
		defer srv.Close()
		over := make(chan struct{})
		go func() {
			defer close(over)
			select {
			case <-taken:
			case <-time.After(30 * time.Second):
			}
		}()
		_, err := s.New(t, srv.URL+"/").Send(impatient{t.Context(), over}, Page())
		check(t, s, err, alertd.Unknown, alertd.FailureTimeout, 0)
	})
	t.Run("nobody listens", func(t *testing.T) {
		expect(t, s, "http://127.0.0.1:1/", alertd.Retry, alertd.FailureNetwork, 0)
	})
	t.Run("metadata service", func(t *testing.T) {
		expect(t, s, "http://169.254.169.254/", alertd.Failed, alertd.FailureDestination, 0)
	})
	t.Run("stopped before it began", func(t *testing.T) {
		srv := httptest.NewServer(answer(200, s.OK))
		defer srv.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.New(t, srv.URL+"/").Send(ctx, Page())
		check(t, s, err, alertd.Retry, alertd.FailureNetwork, 0)
	})
}

func expect(t *testing.T, s Subject, base string, outcome alertd.Outcome, class alertd.FailureClass, after time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := s.New(t, base).Send(ctx, Page())
	check(t, s, err, outcome, class, after)
}

func check(t *testing.T, s Subject, err error, outcome alertd.Outcome, class alertd.FailureClass, after time.Duration) {
	t.Helper()
	if outcome == "" {
		if err != nil {
			t.Fatalf("got %v, want success", err)
		}
		return
	}
	de, ok := err.(*alertd.DeliveryError)
	if !ok {
		t.Fatalf("got %T (%v), want *alertd.DeliveryError", err, err)
	}
	if de.Outcome != outcome || de.Class != class || de.RetryAfter != after {
		t.Errorf("got %s %s after %s (%v), want %s %s after %s", de.Outcome, de.Class, de.RetryAfter, err, outcome, class, after)
	}
	for _, secret := range s.Secrets {
		if text := fmt.Sprintf("%v %+v %q", err, err, de.Err); strings.Contains(text, secret) {
			t.Errorf("the error shows %q: %s", secret, text)
		}
	}
}

// answer repeats to the client what it sent, as a careless server would.
func answer(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		io.WriteString(w, body)
		if code != 200 {
			fmt.Fprintf(w, " %s %v %s", r.URL, r.Header, sent)
		}
	}
}

func later(code int, after string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", after)
		answer(code, "")(w, r)
	}
}

// elsewhere sends the client to a server that it must not visit.
func elsewhere(t *testing.T) http.HandlerFunc {
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	t.Cleanup(trap.Close)
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, trap.URL, http.StatusFound) }
}

// impatient is a context whose deadline passes when over is closed: as soon as the server has the request, however long that takes.
type impatient struct {
	context.Context
	over <-chan struct{}
}

func (c impatient) Done() <-chan struct{} { return c.over }

func (c impatient) Err() error {
	select {
	case <-c.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func drop(_ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}
