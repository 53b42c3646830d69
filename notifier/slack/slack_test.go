package slack_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"alertd"
	"alertd/notifier"
	"alertd/notifier/sendertest"
	"alertd/notifier/slack"
	"alertd/notifier/slacktest"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

const secret = "xoxb-17-SECRET"

func TestContractWithToken(t *testing.T) {
	sendertest.Run(t, sendertest.Subject{
		New: func(t *testing.T, base string) notifier.Sender {
			return newSender(t, slack.Config{APIURL: base, Token: secret, Channel: "C0OPS"})
		},
		OK:      `{"ok":true,"channel":"C0OPS","ts":"1.000001"}`,
		Secrets: []string{secret},
		Finds:   true,
	})
}

func TestContractWithWebhook(t *testing.T) {
	sendertest.Run(t, sendertest.Subject{
		New: func(t *testing.T, base string) notifier.Sender {
			return newSender(t, slack.Config{APIURL: base + "services/T0/B0/HOOKSECRET"})
		},
		OK:      "ok",
		Secrets: []string{"HOOKSECRET"},
	})
}

// planned is shortly after the gallery's notifications were planned, so that nothing is late.
func planned() time.Time { return sendertest.Gallery()["page"].PlannedAt.Add(time.Second) }

func newSender(t *testing.T, c slack.Config) *slack.Sender {
	t.Helper()
	direct := func(*http.Request) (*url.URL, error) { return nil, nil } // no proxy, whatever the environment says
	c.HTTPClient = notifier.NewClientWith(nil, direct, nil)
	t.Cleanup(c.HTTPClient.CloseIdleConnections)
	if c.Now == nil {
		c.Now = planned
	}
	s, err := slack.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start returns a fake Slack and a sender to its channel ops.
func start(t *testing.T) (*slacktest.Server, *slack.Sender) {
	t.Helper()
	srv, err := slacktest.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return srv, newSender(t, slack.Config{APIURL: srv.APIURL(), Token: slacktest.Token, Channel: "C0OPS", ExternalURL: "http://alertd.example.org"})
}

func send(t *testing.T, s *slack.Sender, n alertd.Notification) string {
	t.Helper()
	ref, err := s.Send(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// shot is a channel as people see it.
func shot(srv *slacktest.Server) string {
	var b strings.Builder
	show := func(indent string, m slacktest.Message, what string) {
		fmt.Fprintf(&b, "%s%s\n", indent, what)
		for line := range strings.Lines(m.Plain()) {
			fmt.Fprintf(&b, "%s  %s\n", indent, strings.TrimRight(line, "\n"))
		}
		fmt.Fprintf(&b, "%s  (text) %s\n", indent, strings.ReplaceAll(m.Text, "\n", " ⏎ "))
	}
	for _, m := range srv.Messages("ops") {
		show("", m, fmt.Sprintf("message, edited %d times", m.Edits))
		for _, r := range m.Replies {
			what := "reply"
			if r.Broadcast {
				what = "reply, also in the channel"
			}
			show("    ", r, what)
		}
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got), go test -update writes it anew:\n%s", diff)
	}
}

func TestGolden(t *testing.T) {
	for name, n := range sendertest.Gallery() {
		t.Run(name, func(t *testing.T) {
			srv, s := start(t)
			if n.Ref != "" { // the group has a message already
				n.Ref = send(t, s, sendertest.Gallery()["page"])
			}
			send(t, s, n)
			golden(t, name, shot(srv))
		})
	}
}

// The blocks themselves, as they go over the wire.
func TestGoldenBlocks(t *testing.T) {
	srv, s := start(t)
	send(t, s, sendertest.Gallery()["page"])
	m := srv.Messages("ops")[0]
	var b strings.Builder
	fmt.Fprintf(&b, "text: %s\n", m.Text)
	for _, block := range m.Blocks {
		fmt.Fprintf(&b, "block: %s\n", block)
	}
	for _, a := range m.Attachments {
		fmt.Fprintf(&b, "attachment: %s\n", a)
	}
	fmt.Fprintf(&b, "metadata: %s\n", m.Metadata)
	golden(t, "page-blocks", b.String())
}

func TestOneGroupIsOneMessage(t *testing.T) {
	srv, s := start(t)
	n := sendertest.Gallery()["page"]
	ref := send(t, s, n)

	grown := sendertest.Gallery()["grown"]
	grown.ID, grown.Ref = "n-2", ref
	if got := send(t, s, grown); got != ref {
		t.Errorf("ref %q after an edit, want %q", got, ref)
	}
	over := sendertest.Gallery()["resolved"]
	over.ID, over.Ref = "n-3", ref
	send(t, s, over)

	ms := srv.Messages("#ops")
	if len(ms) != 1 || ms[0].Edits != 2 || len(ms[0].Replies) != 2 {
		t.Fatalf("got %s", shot(srv))
	}
	root, added, ended := ms[0], ms[0].Replies[0], ms[0].Replies[1]
	if !strings.Contains(root.Plain(), "RESOLVED") || strings.Contains(root.Plain(), "CRITICAL") {
		t.Errorf("the message does not show the present: %s", root.Plain())
	}
	if !added.Broadcast || !strings.Contains(added.Plain(), "payments") || strings.Contains(added.Plain(), "checkout") {
		t.Errorf("what is new: broadcast %v\n%s", added.Broadcast, added.Plain())
	}
	if ended.Broadcast || !strings.Contains(ended.Plain(), "RESOLVED") {
		t.Errorf("the end: broadcast %v\n%s", ended.Broadcast, ended.Plain())
	}
}

func TestWhatCannotBeEditedBeginsAnew(t *testing.T) {
	for name, prepare := range map[string]func(srv *slacktest.Server, ref string) string{
		"deleted": func(srv *slacktest.Server, ref string) string { srv.Delete("ops", ts(ref)); return ref },
		"too old to edit": func(srv *slacktest.Server, ref string) string {
			srv.Fail(slacktest.Fault{Method: "chat.update", Error: "edit_window_closed"})
			return ref
		},
		"thread is gone": func(srv *slacktest.Server, ref string) string {
			srv.Fail(slacktest.Fault{Method: "chat.postMessage", Error: "cannot_reply_to_message"})
			return ref
		},
		"another channel, archived": func(srv *slacktest.Server, ref string) string {
			srv.AddChannel("old")
			srv.Archive("old")
			return "C0OLD:1.000001"
		},
		"no reference at all": func(*slacktest.Server, string) string { return "nonsense" },
	} {
		t.Run(name, func(t *testing.T) {
			srv, s := start(t)
			ref := send(t, s, sendertest.Gallery()["page"])
			n := sendertest.Gallery()["grown"]
			n.ID, n.Ref = "n-2", prepare(srv, ref)
			fresh := send(t, s, n)
			ms := srv.Messages("ops")
			last := ms[len(ms)-1]
			if fresh == ref || fresh != "C0OPS:"+last.TS || !strings.Contains(last.Plain(), "2 firing, 1 resolved") {
				t.Errorf("ref %q, was %q\n%s", fresh, ref, shot(srv))
			}
		})
	}
}

func ts(ref string) string { _, ts, _ := strings.Cut(ref, ":"); return ts }

func TestDigestIsAlwaysANewMessage(t *testing.T) {
	srv, s := start(t)
	n := sendertest.Gallery()["digest"]
	n.Ref = send(t, s, sendertest.Gallery()["page"])
	if ref := send(t, s, n); ref == n.Ref || len(srv.Messages("ops")) != 2 {
		t.Errorf("ref %q\n%s", ref, shot(srv))
	}
}

// Slack stored the message and the answer was lost: it must be found, whichever message it was.
func TestFindAfterALostAnswer(t *testing.T) {
	ctx := t.Context()
	srv, s := start(t)
	wait := newSender(t, slack.Config{APIURL: srv.APIURL(), Token: slacktest.Token, Channel: "C0OPS", Now: planned})

	n := sendertest.Gallery()["page"]
	n.ID, n.PlannedAt = "n-1", time.Now()
	if _, found, err := s.Find(ctx, n); found || err != nil {
		t.Fatalf("before: found %v, %v", found, err)
	}
	for i, fault := range []slacktest.Fault{
		{Method: "chat.postMessage", After: true, Drop: true},
		{Method: "chat.postMessage", After: true, Status: 502},
		{Method: "chat.postMessage", After: true, Error: "internal_error"},
	} {
		n.ID = fmt.Sprintf("root-%d", i)
		srv.Fail(fault)
		_, err := s.Send(ctx, n)
		if de, ok := err.(*alertd.DeliveryError); !ok || de.Outcome != alertd.Unknown {
			t.Fatalf("%+v: got %v, want unknown", fault, err)
		}
		ms := srv.Messages("ops")
		ref, found, err := wait.Find(ctx, n)
		if want := "C0OPS:" + ms[len(ms)-1].TS; !found || ref != want || err != nil {
			t.Fatalf("%+v: got %q %v %v, want %q", fault, ref, found, err, want)
		}
	}

	grown := sendertest.Gallery()["grown"]
	grown.ID, grown.PlannedAt, grown.Ref = "n-2", time.Now(), "C0OPS:"+srv.Messages("ops")[0].TS
	srv.Fail(slacktest.Fault{Method: "chat.update", After: true, Drop: true})
	if _, err := s.Send(ctx, grown); err.(*alertd.DeliveryError).Outcome != alertd.Retry {
		t.Errorf("a lost edit: %v, want retry", err)
	}
	if _, found, err := s.Find(ctx, grown); found || err != nil {
		t.Errorf("an edit is not the notification: found %v, %v", found, err)
	}
	srv.Fail(slacktest.Fault{Method: "chat.postMessage", After: true, Drop: true})
	if _, err := s.Send(ctx, grown); err.(*alertd.DeliveryError).Outcome != alertd.Unknown {
		t.Errorf("a lost reply: %v, want unknown", err)
	}
	if ref, found, err := s.Find(ctx, grown); !found || ref != grown.Ref || err != nil {
		t.Errorf("the reply: %q %v %v", ref, found, err)
	}
}

func TestFindLooksThroughPages(t *testing.T) {
	srv, s := start(t)
	n := sendertest.Gallery()["page"]
	n.ID, n.PlannedAt = "wanted", time.Now()
	ref := send(t, s, n)
	n.ID = "other"
	for range 250 {
		send(t, s, n)
	}
	n.ID = "wanted"
	if got, found, err := s.Find(t.Context(), n); got != ref || !found || err != nil {
		t.Errorf("got %q %v %v", got, found, err)
	}
	if calls := count(srv.Calls(), "conversations.history"); calls != 2 {
		t.Errorf("%d calls, want 2", calls)
	}
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

func TestFindByNameLearnsTheID(t *testing.T) {
	srv, _ := start(t)
	s := newSender(t, slack.Config{APIURL: srv.APIURL(), Token: slacktest.Token, Channel: "#ops"})
	n := sendertest.Gallery()["page"]
	n.PlannedAt = time.Now()
	_, _, err := s.Find(t.Context(), n)
	if de, ok := err.(*alertd.DeliveryError); !ok || de.Outcome != alertd.Failed || !strings.Contains(err.Error(), "configure its id") {
		t.Errorf("got %v", err)
	}
	ref := send(t, s, n)
	if got, found, err := s.Find(t.Context(), n); got != ref || !found || err != nil {
		t.Errorf("got %q %v %v", got, found, err)
	}
}

func TestRefusedBlocksBecomeText(t *testing.T) {
	for _, code := range []string{"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "invalid_metadata_format"} {
		srv, s := start(t)
		srv.Fail(slacktest.Fault{Method: "chat.postMessage", Error: code})
		send(t, s, sendertest.Gallery()["page"])
		m := srv.Messages("ops")[0]
		if len(m.Blocks)+len(m.Attachments) > 0 {
			t.Errorf("%s: blocks again", code)
		}
		for _, want := range []string{"CRITICAL", "checkout", "roll it back first", "/runbooks/applicationdown|Runbook>", "|Trace>"} {
			if !strings.Contains(m.Text, want) {
				t.Errorf("%s: no %q in %s", code, want, m.Text)
			}
		}
		srv.Fail(slacktest.Fault{Error: code}, slacktest.Fault{Error: code})
		_, err := s.Send(t.Context(), sendertest.Gallery()["page"])
		if de, ok := err.(*alertd.DeliveryError); !ok || de.Outcome != alertd.Failed || de.Class != alertd.FailurePayload {
			t.Errorf("%s twice: got %v", code, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		code    string
		outcome alertd.Outcome
		class   alertd.FailureClass
		hint    string
	}{
		{"channel_not_found", alertd.Failed, alertd.FailureDestination, "/invite"},
		{"not_in_channel", alertd.Failed, alertd.FailureDestination, "/invite"},
		{"restricted_action_read_only_channel", alertd.Failed, alertd.FailureDestination, ""},
		{"token_revoked", alertd.Failed, alertd.FailureAuth, "install the app again"},
		{"ratelimited", alertd.Retry, alertd.FailureRateLimited, ""},
		{"service_unavailable", alertd.Retry, alertd.FailureServer, ""},
		{"fatal_error", alertd.Unknown, alertd.FailureServer, ""},
		{"a_code_of_next_year", alertd.Retry, alertd.FailureServer, "a_code_of_next_year"},
	} {
		srv, s := start(t)
		srv.Fail(slacktest.Fault{Error: tc.code})
		_, err := s.Send(t.Context(), sendertest.Gallery()["page"])
		de, ok := err.(*alertd.DeliveryError)
		if !ok || de.Outcome != tc.outcome || de.Class != tc.class || !strings.Contains(err.Error(), tc.hint) {
			t.Errorf("%s: got %v", tc.code, err)
		}
	}
}

func TestWebhookMode(t *testing.T) {
	srv, _ := start(t)
	s := newSender(t, slack.Config{APIURL: srv.HookURL("ops")})
	n := sendertest.Gallery()["page"]
	if ref := send(t, s, n); ref != "" {
		t.Errorf("ref %q", ref)
	}
	n.Reason = alertd.ReasonRepeat
	send(t, s, n)
	if ms := srv.Messages("ops"); len(ms) != 2 || !strings.Contains(ms[1].Plain(), "roll it back first") {
		t.Errorf("got %s", shot(srv))
	}
	for _, tc := range []struct {
		fault   slacktest.Fault
		outcome alertd.Outcome
		class   alertd.FailureClass
	}{
		{slacktest.Fault{Status: 404, Error: "no_active_hooks"}, alertd.Failed, alertd.FailureDestination},
		{slacktest.Fault{Status: 403, Error: "invalid_token"}, alertd.Failed, alertd.FailureAuth},
		{slacktest.Fault{Status: 410, Error: "channel_is_archived"}, alertd.Failed, alertd.FailureDestination},
	} {
		srv.Fail(tc.fault)
		_, err := s.Send(t.Context(), n)
		if de, ok := err.(*alertd.DeliveryError); !ok || de.Outcome != tc.outcome || de.Class != tc.class || !strings.Contains(err.Error(), tc.fault.Error) {
			t.Errorf("%+v: got %v", tc.fault, err)
		}
	}
	srv.Fail(slacktest.Fault{Status: http.StatusBadRequest, Error: "invalid_blocks"})
	send(t, s, n)
	if ms := srv.Messages("ops"); len(ms) != 3 || len(ms[2].Blocks) != 0 {
		t.Errorf("refused blocks: %s", shot(srv))
	}
	if _, found, err := s.Find(t.Context(), n); found || err != nil {
		t.Errorf("a webhook finds: %v %v", found, err)
	}
}

func TestAlertmanagersAPIURLWorks(t *testing.T) {
	srv, _ := start(t)
	for _, base := range []string{srv.APIURL(), strings.TrimSuffix(srv.APIURL(), "/"), srv.APIURL() + "chat.postMessage"} {
		s := newSender(t, slack.Config{APIURL: base, Token: slacktest.Token, Channel: "ops"})
		send(t, s, sendertest.Gallery()["page"])
	}
}

func TestConfigErrors(t *testing.T) {
	for want, c := range map[string]slack.Config{
		"set a bot token":      {},
		"needs a channel":      {Token: "SECRET"},
		"begin with https://":  {APIURL: "hooks.slack.com/SECRET"},
		"and name a host":      {APIURL: "https:///SECRET", Token: "SECRET", Channel: "x"},
		"must begin with http": {APIURL: "https://x\x7f/SECRET"},
	} {
		_, err := slack.New(c)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestLatePagesSaySo(t *testing.T) {
	srv, _ := start(t)
	s := newSender(t, slack.Config{APIURL: srv.APIURL(), Token: slacktest.Token, Channel: "ops", Now: func() time.Time { return planned().Add(12 * time.Minute) }})
	send(t, s, sendertest.Gallery()["page"])
	if got := srv.Messages("ops")[0].Plain(); !strings.Contains(got, "delivered 12m late") {
		t.Error(got)
	}
}

// Through the outbox, with the decorators that the daemon uses.
func TestThroughTheOutbox(t *testing.T) {
	srv, s := start(t)
	done := make(chan alertd.Attempt, 10)
	o := notifier.NewOutbox(func(a alertd.Attempt) { done <- a }, notifier.Options{Timeout: 30 * time.Second})
	o.SetSenders(map[string]notifier.Sender{"ops/slack/0": notifier.Limit(notifier.Break(s), 1, 3)})
	n := sendertest.Gallery()["page"]
	n.PlannedAt = time.Now()
	srv.Fail(slacktest.Fault{Method: "chat.postMessage", After: true, Drop: true})
	o.Offer(notifier.Job{Notification: n, N: 1})
	first := <-done
	o.Offer(notifier.Job{Notification: n, N: 2, Uncertain: first.Outcome == alertd.Unknown})
	second := <-done
	if first.Outcome != alertd.Unknown || second.Outcome != alertd.Delivered || second.Ref != "C0OPS:"+srv.Messages("ops")[0].TS {
		t.Errorf("got %+v, then %+v", first, second)
	}
	if len(srv.Messages("ops")) != 1 {
		t.Errorf("a page was doubled:\n%s", shot(srv))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := o.Close(ctx); err != nil {
		t.Error(err)
	}
	if got, want := srv.Calls(), []string{"chat.postMessage", "conversations.history"}; !slices.Equal(got, want) {
		t.Errorf("calls %v, want %v", got, want)
	}
}
