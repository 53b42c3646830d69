package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"alertd/e2e"
	"alertd/notifier/slacktest"
)

const slackChannel = "ops"

// newSlackWorld is a world whose pages go to a Slack, too, and whose traces have links. While silent is set, Slack takes
// messages and never answers.
func newSlackWorld(t *testing.T, silent *atomic.Bool) (*world, *slacktest.Server) {
	t.Helper()
	slack := slacktest.New()
	id := slack.AddChannel(slackChannel) // by its name one can post, but not look for what was posted
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		slack.ServeHTTP(answer, r)
		if silent.Load() {
			<-r.Context().Done() // who asked is gone
			return
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	t.Cleanup(front.Close)
	settings := filepath.Join(t.TempDir(), "alertd.yaml")
	if err := os.WriteFile(settings, []byte("traces: {url_template: 'https://traces.example/{{.TraceID}}'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"shop.yaml": shop["shop.yaml"]}
	files["routing.yaml"] = shop["routing.yaml"] + `
    slack_configs:
      - api_url: '` + front.URL + `/api/'
        bot_token: ` + slacktest.Token + `
        channel: ` + id + `
`
	return newWorld(t, files, func(o *e2e.Options) { o.Args = []string{"--config", settings} }), slack
}

// message waits for the channel's message about a service that holds all these words, edits and replies included.
func (w *world) message(slack *slacktest.Server, service string, words ...string) {
	w.t.Helper()
	w.eventually(func() error {
		var shown []string
		for _, m := range slack.Messages(slackChannel) {
			text := everything(m)
			shown = append(shown, text)
			if strings.Contains(text, service+" is broken") && !slices.ContainsFunc(words, func(s string) bool { return !strings.Contains(text, s) }) {
				return nil
			}
		}
		return fmt.Errorf("no message about %s has %q:\n%s", service, words, strings.Join(shown, "\n---\n"))
	})
}

// everything is what people can read of a message, its blocks as they travel because links are only there.
func everything(m slacktest.Message) string {
	var text strings.Builder
	text.WriteString(m.Text + "\n" + m.Plain())
	for _, b := range slices.Concat(m.Blocks, m.Attachments) {
		text.WriteString("\n" + string(b))
	}
	for _, r := range m.Replies {
		text.WriteString("\n" + everything(r))
	}
	return text.String()
}

func TestSlackPageCloses(t *testing.T) {
	t.Parallel()
	w, slack := newSlackWorld(t, new(atomic.Bool))
	const trace = "0af7651916cd43dd8448eb211c80319c"
	w.publish("alertd.metrics.api", metricBody("broken", "api", 1), "traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	w.message(slack, "api", "https://runbooks.example/broken", "https://traces.example/"+trace, "Repair it.")
	if p := w.page("Broken", "api", "firing"); !strings.Contains(p.Body, "https://traces.example/"+trace) {
		t.Errorf("the webhook has no link to the trace: %s", p.Body)
	}
	w.metric("broken", "api", 0)
	w.page("Broken", "api", "resolved")
	w.message(slack, "api", "esolved")
	if n := len(slack.Messages(slackChannel)); n != 1 {
		t.Errorf("%d messages in the channel for one group: %+v", n, slack.Messages(slackChannel))
	}
	got := w.history(reached("resolved"), "--alert", "Broken")
	if got[len(got)-1].TraceURL != "https://traces.example/"+trace {
		t.Errorf("trace_url %q", got[len(got)-1].TraceURL)
	}
}

// TestKillWhilePosting ends the daemon while Slack has taken a message and has not answered yet. The next one asks Slack
// what became of it, and does not post it again.
func TestKillWhilePosting(t *testing.T) {
	t.Parallel()
	var silent atomic.Bool
	w, slack := newSlackWorld(t, &silent)
	const rounds = 4
	for i := range rounds {
		service := fmt.Sprintf("s%d", i)
		silent.Store(true)
		w.metric("broken", service, 1)
		w.message(slack, service)
		w.kill()
		silent.Store(false)
		w.start()
		w.metric("broken", service, 0)
		w.page("Broken", service, "resolved")
		w.message(slack, service, "esolved")
		if n := len(slack.Messages(slackChannel)); n != i+1 {
			t.Fatalf("%d messages after %d rounds", n, i+1)
		}
	}
}
