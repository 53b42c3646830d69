package amapi_test

import (
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"alertd"
	"alertd/amapi"
)

// amtool is Alertmanager's own client, as Debian ships it.
type amtool struct {
	t   *testing.T
	bin string
	url string
}

func newAmtool(t *testing.T, url string) *amtool {
	bin, err := exec.LookPath("amtool")
	if err != nil {
		t.Skipf("no amtool to drive the API with (Debian has it in prometheus-alertmanager): %v", err)
	}
	return &amtool{t, bin, url}
}

// run returns what amtool printed, with single spaces. It fails the test if amtool fails. Of amtool's warnings there is
// always one: no version of alertd is one of amtool.
func (a *amtool) run(args ...string) string {
	a.t.Helper()
	out, err := a.try(args...)
	if err != nil {
		a.t.Fatalf("amtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (a *amtool) try(args ...string) (string, error) {
	cmd := exec.CommandContext(a.t.Context(), a.bin, append([]string{"--alertmanager.url", a.url}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+a.t.TempDir())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		out = append(out, stderr.String()...)
	}
	return strings.Join(strings.Fields(string(out)), " "), err
}

func (a *amtool) expect(want string, args ...string) {
	a.t.Helper()
	if got := a.run(args...); !regexp.MustCompile(want).MatchString(got) {
		a.t.Errorf("amtool %s: %s\nwant %s", strings.Join(args, " "), got, want)
	}
}

func TestAmtool(t *testing.T) {
	state := newFake(time.Now)
	server := httptest.NewServer(amapi.New(amapi.Options{State: state, Version: "1.2.3", StartedAt: now}))
	defer server.Close()
	am := newAmtool(t, server.URL)

	am.run("alert", "add", "Disk", "node=a", `path="/var tmp"`, "--annotation=summary=It is full.", "--generator-url=http://p/g")
	am.run("alert", "add", "alertname=Net", "node=b", "--start=2026-01-02T03:04:05Z", "--end=2106-01-02T03:04:05Z")
	am.expect(`^Alertname Starts At Summary State Net 2026-01-02 03:04:05 UTC active Disk .* It is full\. active$`, "alert")
	am.expect(`^Alertname Starts At Summary State Disk .* active$`, "alert", "query", "Disk")
	am.expect(`Net`, "alert", "query", `node=~"b|c"`, "--receiver=team")
	am.expect(`^Alertname Starts At Summary State$`, "alert", "query", "--receiver=nobody")
	am.expect(`"generatorURL":"http://p/g"`, "alert", "query", "-o", "json", "Disk")
	am.expect(`Ends At Generator URL State .*path="/var tmp" summary="It is full."`, "alert", "query", "-o", "extended", "Disk")

	id := am.run("silence", "add", "Disk", `node!="z"`, "--comment=works on it", "--duration=1h", "--author=Ann")
	am.expect(`^ID Matchers Ends At Created By Comment `+id+` alertname="Disk" node!="z" .* Ann works on it$`, "silence", "query")
	am.expect(id, "silence", "query", "Disk")
	am.expect(`^Alertname Starts At Summary State Net .*active$`, "alert")
	am.expect(`Disk .* suppressed`, "alert", "query", "--silenced")

	am.run("silence", "update", "--duration=2h", "--comment=still works on it", id)
	am.expect(id+` .* still works on it$`, "silence", "query")

	if out, err := am.try("silence", "add", `node=~".*"`, "--comment=x", "--author=Ann"); err == nil || !strings.Contains(out, "at least one matcher must not match the empty string") {
		t.Errorf("a silence that hides everything: %v %s", err, out)
	}
	if out, err := am.try("alert", "query", "--receiver=("); err == nil || !strings.Contains(out, "failed to parse receiver param") {
		t.Errorf("a receiver that is no regular expression: %v %s", err, out)
	}

	// import: what query prints as JSON comes back under new IDs.
	file := filepath.Join(t.TempDir(), "silences.json")
	json := am.run("silence", "query", "-o", "json")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(json, id, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	am.run("silence", "expire", id)
	if by := state.lastActor(); by.By != "" || by.From != alertd.FromAPI || !strings.HasPrefix(by.Client, "127.0.0.1, ") {
		t.Errorf("ended %s", by)
	}
	am.expect(`^ID Matchers Ends At Created By Comment$`, "silence", "query")
	am.expect(id, "silence", "query", "--expired")
	am.run("silence", "import", file)
	am.expect(`alertname="Disk" node!="z" .* Ann still works on it$`, "silence", "query")
	if out, err := am.try("silence", "expire", "00000000-0000-4000-8000-999999999999"); err == nil {
		t.Errorf("a silence that is not there ended: %s", out)
	} else if _, ok := errors.AsType[*exec.ExitError](err); !ok {
		t.Error(err)
	}

	am.run("alert", "add", "alertname=Net", "node=b", "--start=2026-01-02T03:04:05Z", "--end=2026-01-02T03:04:06Z")
	am.expect(`^Alertname Starts At Summary State$`, "alert")

	am.expect(`Cluster Status: ready Node Name: b Address Name 192.0.2.1:9093 a 192.0.2.2:9093 b`, "cluster", "show", "-o", "extended")
	am.expect(`route: receiver: team`, "config", "show")
}
