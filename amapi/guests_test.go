package amapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"alertd/amapi"
)

// TestGuests sends what others send to an Alertmanager, with their headers, in the order in which they do: a file of
// testdata/guests each, as their source has it. The answers are in the files too, without what differs each time. Debian's
// Alertmanager, where it is installed, has to give the same ones.
//
// $SILENCE stands for the ID of the silence that was made last. -rewrite draws the answers anew.
func TestGuests(t *testing.T) {
	datadriven.Walk(t, "testdata/guests", func(t *testing.T, path string) {
		server := httptest.NewServer(amapi.New(amapi.Options{State: newFake(time.Now), StartedAt: now}))
		defer server.Close()
		ours, theirs := &guest{url: server.URL}, &guest{}
		if _, err := exec.LookPath("prometheus-alertmanager"); err == nil {
			theirs.url = alertmanager(t)
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			status, header, body := ours.send(t, d.Input)
			asks := strings.HasPrefix(d.Input, http.MethodGet)
			for deadline := time.Now().Add(30 * time.Second); theirs.url != ""; time.Sleep(50 * time.Millisecond) {
				theirStatus, theirHeader, theirBody := theirs.send(t, d.Input)
				same := status == theirStatus && header.Get("Content-Type") == theirHeader.Get("Content-Type")
				if same && status == http.StatusOK {
					same = reflect.DeepEqual(settled(t, body), settled(t, theirBody))
				}
				if same {
					break
				}
				if !asks || time.Now().After(deadline) { // it puts what is posted into groups one by one, after it has answered
					t.Errorf("%s:\nAlertmanager %d %s\nalertd       %d %s", d.Pos, theirStatus, theirBody, status, body)
					break
				}
			}
			kind := header.Get("Content-Type")
			if kind == "" {
				return fmt.Sprintf("%d, nothing else\n", status)
			}
			text, err := json.MarshalIndent(settled(t, body), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%d %s\n%s\n", status, kind, text)
		})
	})
}

// guest is who asks.
type guest struct{ url, silence string }

// send sends a request: "METHOD PATH", lines of headers, and a body that begins with a bracket.
func (g *guest) send(t *testing.T, text string) (int, http.Header, string) {
	t.Helper()
	text = strings.ReplaceAll(text, "$SILENCE", g.silence)
	head, body := text, ""
	for _, begin := range []string{"\n[", "\n{"} {
		if i := strings.Index(text, begin); i >= 0 {
			head, body = text[:i], text[i+1:]
			break
		}
	}
	lines := strings.Split(strings.TrimSpace(head), "\n")
	method, path, _ := strings.Cut(lines[0], " ")
	req, err := http.NewRequestWithContext(t.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ SilenceID string }
	if json.Unmarshal(answer, &made) == nil && made.SilenceID != "" {
		g.silence = made.SilenceID
	}
	return res.StatusCode, res.Header, string(answer)
}
