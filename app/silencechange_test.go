package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"alertd"
	"alertd/history"
)

// Who made a silence, changed it and ended it is on record with the silence and with the alerts that it hid, over a
// restart, by whichever way it came.
func TestWhoDidWhatToASilence(t *testing.T) {
	s := newSink(t)
	data := t.TempDir()
	a, stop := daemon(t, data, s)
	ask := func(method, path, body string) string {
		t.Helper()
		r, err := http.NewRequest(method, "http://"+a.HTTP()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("User-Agent", "karma/1")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %s %s (%v)", method, path, resp.Status, &b, err)
		}
		return b.String()
	}
	until(t, a, "/api/v1/silences", `"success"`)
	var made struct{ Data struct{ SilenceID string } }
	read(t, ask("POST", "/api/v1/silences", fmt.Sprintf(`{"matchers":[{"name":"alertname","value":"Theirs"}],"endsAt":%q,"createdBy":"ann","comment":"new disks","from":"cli"}`,
		time.Now().Add(time.Hour).UTC().Format(time.RFC3339))), &made)
	id := made.Data.SilenceID
	ask("POST", "/api/v2/alerts", `[{"labels":{"alertname":"Theirs","service":"db","severity":"critical"}}]`)

	var shown alertd.Silence
	read(t, ask("GET", "/api/v2/silence/"+id, ""), &shown)
	shown.EndsAt = shown.EndsAt.Add(time.Hour)
	edited, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	ask("POST", "/api/v2/silences", string(edited))
	stop()
	a, _ = daemon(t, data, s)
	until(t, a, "/api/v1/silences/"+id, "karma/1")
	ask("DELETE", "/api/v1/silences/"+id+"?by=ben&from=cli&why=disks+are+in", "")

	show := func(time.Time) string { return "then" }
	want := []string{
		"made by ann, from cli (127.0.0.1); ends then",
		"changed from api (127.0.0.1, karma/1), which named nobody; ends then; it was to end " + shown.EndsAt.Add(-time.Hour).Format("2006-01-02 15:04 MST"),
		"ended early by ben, from cli (127.0.0.1): disks are in",
	}
	var kept struct{ Data alertd.SilenceView }
	read(t, ask("GET", "/api/v1/silences/"+id, ""), &kept)
	for i, c := range kept.Data.Changes {
		if i >= len(want) || c.Tell(show) != want[i] {
			t.Errorf("change %d: %s", i, c.Tell(show))
		}
	}
	if len(kept.Data.Changes) != len(want) {
		t.Errorf("%d changes, want %d", len(kept.Data.Changes), len(want))
	}
	until(t, a, "/api/v1/why?alert=Theirs&since=24h", "disks are in")
	var why struct {
		Data struct{ Alerts []history.Chain }
	}
	read(t, ask("GET", "/api/v1/why?alert=Theirs&since=24h", ""), &why)
	for _, c := range why.Data.Alerts {
		for i := range c.Steps {
			if c.Steps[i].Kind != history.KindSilence {
				continue
			}
			want = want[1:] // it did not fire yet when the silence was made
			if got := c.Steps[i].Tell(show); got != "silence "+id+" of ann (new disks) "+want[0] {
				t.Errorf("why says: %s", got)
			}
		}
	}
	if len(want) != 1 {
		t.Errorf("why says nothing of %q", want[1:])
	}
}

func read(t *testing.T, body string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
}
