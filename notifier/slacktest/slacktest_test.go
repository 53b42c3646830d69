package slacktest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"alertd/notifier/slacktest"
)

type reply struct {
	OK               bool
	Error            string
	Channel, TS      string
	Messages         []struct{ TS, Text string }
	HasMore          bool `json:"has_more"`
	ResponseMetadata struct {
		NextCursor string `json:"next_cursor"`
	} `json:"response_metadata"`
}

func start(t *testing.T) *slacktest.Server {
	t.Helper()
	srv, err := slacktest.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return srv
}

// call makes a call with the right token, unless args name another one.
func call(t *testing.T, srv *slacktest.Server, method string, args ...string) (r reply) {
	t.Helper()
	form := url.Values{"token": {slacktest.Token}, "channel": {"C0OPS"}}
	for i := 0; i < len(args); i += 2 {
		form.Set(args[i], args[i+1])
	}
	resp, err := http.PostForm(srv.APIURL()+method, form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

func section(n int) string {
	return fmt.Sprintf(`{"type":"section","text":{"type":"mrkdwn","text":%q}}`, strings.Repeat("x", n))
}

func TestIsAsStrictAsSlack(t *testing.T) {
	srv := start(t)
	srv.AddChannel("old")
	srv.Archive("old")
	sent := call(t, srv, "chat.postMessage", "text", "hello")
	blocks := func(bs ...string) string { return "[" + strings.Join(bs, ",") + "]" }
	for _, tc := range []struct {
		method, want string
		args         []string
	}{
		{"auth.test", "", nil},
		{"auth.test", "not_authed", []string{"token", ""}},
		{"chat.postMessage", "invalid_auth", []string{"token", "xoxb-other", "text", "x"}},
		{"chat.postMessage", "channel_not_found", []string{"channel", "nowhere", "text", "x"}},
		{"chat.postMessage", "is_archived", []string{"channel", "#old", "text", "x"}},
		{"chat.postMessage", "no_text", nil},
		{"chat.postMessage", "", []string{"blocks", blocks(section(3000))}},
		{"chat.postMessage", "invalid_blocks", []string{"blocks", blocks(section(3001))}},
		{"chat.postMessage", "invalid_blocks", []string{"blocks", blocks(section(0))}},
		{"chat.postMessage", "", []string{"blocks", blocks(strings.Split(strings.Repeat(section(1)+";", 50), ";")[:50]...)}},
		{"chat.postMessage", "invalid_blocks", []string{"blocks", blocks(strings.Split(strings.Repeat(section(1)+";", 51), ";")[:51]...)}},
		{"chat.postMessage", "msg_blocks_too_long", []string{"blocks", blocks(section(2900), section(2900), section(2900), section(2900))}},
		{"chat.postMessage", "invalid_blocks", []string{"blocks", `[{"type":"header","text":{"type":"mrkdwn","text":"x"}}]`}},
		{"chat.postMessage", "invalid_blocks", []string{"text", "x", "attachments", `[{"blocks":[{"type":"marquee"}]}]`}},
		{"chat.postMessage", "invalid_metadata_format", []string{"text", "x", "metadata", "{}"}},
		{"chat.update", "", []string{"ts", sent.TS, "text", strings.Repeat("x", 4000)}},
		{"chat.update", "msg_too_long", []string{"ts", sent.TS, "text", strings.Repeat("x", 4001)}},
		{"chat.update", "message_not_found", []string{"ts", "1.000001", "text", "x"}},
		{"conversations.history", "channel_not_found", []string{"channel", "ops"}},
		{"conversations.replies", "thread_not_found", []string{"ts", "1.000001"}},
		{"chat.scribble", "unknown_method", nil},
	} {
		if got := call(t, srv, tc.method, tc.args...); got.Error != tc.want || got.OK != (tc.want == "") {
			t.Errorf("%s %.200v: got %q, want %q", tc.method, tc.args, got.Error, tc.want)
		}
	}
}

func TestThreadsAndPages(t *testing.T) {
	srv := start(t)
	root := call(t, srv, "chat.postMessage", "text", "root")
	for i := range 5 {
		r := call(t, srv, "chat.postMessage", "text", fmt.Sprint("reply ", i), "thread_ts", root.TS, "reply_broadcast", fmt.Sprint(i == 4))
		if r.TS <= root.TS {
			t.Fatalf("ts %s after %s", r.TS, root.TS)
		}
	}
	call(t, srv, "chat.postMessage", "text", "second root")
	var got []string
	for cursor := "0"; cursor != ""; {
		r := call(t, srv, "conversations.replies", "ts", root.TS, "limit", "4", "cursor", cursor)
		for _, m := range r.Messages {
			got = append(got, m.Text)
		}
		cursor = r.ResponseMetadata.NextCursor
	}
	if want := "root,reply 0,reply 1,reply 2,reply 3,reply 4"; strings.Join(got, ",") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got = nil
	for _, m := range call(t, srv, "conversations.history", "oldest", root.TS).Messages {
		got = append(got, m.Text)
	}
	if want := "second root,reply 4"; strings.Join(got, ",") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	srv.Delete("ops", root.TS)
	call(t, srv, "chat.postMessage", "text", "orphan", "thread_ts", root.TS)
	if ms := srv.Messages("ops"); ms[len(ms)-1].Text != "orphan" || len(ms[len(ms)-1].Replies) != 0 {
		t.Errorf("a reply to a deleted message: %+v", ms)
	}
}

func TestHooksAnswerInText(t *testing.T) {
	srv := start(t)
	for _, tc := range []struct {
		url, body string
		status    int
		want      string
	}{
		{srv.HookURL("#ops"), `{"text":"hello"}`, 200, "ok"},
		{srv.HookURL("nowhere"), `{"text":"hello"}`, 404, "channel_not_found"},
		{srv.URL() + "services/T0", `{"text":"hello"}`, 404, "no_service"},
		{srv.HookURL("ops"), `{}`, 400, "no_text"},
		{srv.HookURL("ops"), `{`, 400, "invalid_payload"},
	} {
		resp, err := http.Post(tc.url, "application/json", strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tc.status || strings.TrimSpace(string(body)) != tc.want {
			t.Errorf("%s %s: got %d %s", tc.url, tc.body, resp.StatusCode, body)
		}
	}
	if ms := srv.Messages("ops"); len(ms) != 1 || ms[0].Plain() != "hello" {
		t.Errorf("got %+v", ms)
	}
}
