package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"alertd/e2e"
)

// amtoolSays is what amtool does with a server, in an order in which each finds what it needs. ID is the first silence.
const amtoolSays = `
alert add Disk node=a severity=critical path="/var_tmp" service=db --annotation=summary=It_is_full --annotation=x=y --generator-url=http://p/g
alert add alertname=Net node=b severity=warning service=db --annotation=summary=slow
alert add Outage severity=critical service=db team=web
alert add Other a=b bar=
alert add Old severity=critical --start=2026-01-01T00:00:00Z --end=2106-01-01T00:00:00Z
alert add Gone severity=critical --start=2026-01-01T00:00:00Z --end=2026-01-01T01:00:00Z
alert add broken label
alert query -o %s
alert query -o %s Disk
alert query -o %s severity=~crit.* node!~"b|c"
alert query -o %s nothing=
alert query -o %s --active
alert query -o %s --silenced
alert query -o %s --inhibited
alert query -o %s --unprocessed
alert query -o %s --receiver=h.*
alert query --receiver=(
alert query severity=~(
config routes
config routes show
config routes test severity=critical service=db
config routes test severity=critical service=db --tree
config routes test severity=info --verify.receivers=quiet
config routes test severity=info --verify.receivers=hook
config routes test severity
config routes test
template render --template.glob=people.tmpl --template.text={{define"x"}}{{.Status|toUpper}}{{end}}{{template"x".}}
check-config routing.yaml
silence add
silence add Disk --author=Ann
silence add Disk --comment=c --author=Ann --duration=long
silence add service=~( --comment=c --author=Ann
silence add Past --comment=c --author=Ann --start=2016-01-01T00:00:00Z --end=2016-01-02T00:00:00Z
silence add Disk --comment=c --author=Ann
silence add Other --comment=hidden --author=Bob --duration=30m
silence add env!=prod Nowhere node!~"z|y" --comment=c_d --author=Bob --duration=3h
silence add env!=prod team!~"a|b" --comment=excludes --author=Cid --start=2036-01-01T00:00:00Z --end=2036-01-02T00:00:00Z
silence query -o %s
silence query -o %s Disk
silence query -o %s env!=prod
silence query -o %s --within=1h
silence query -o %s --within=2h
silence query --created-by=Bob
silence query --created-by=Zoe
silence query --id=ID
silence query --expired
silence query (
alert query --silenced -o %s
alert query
silence update ID --comment=again --duration=40m
silence query Disk
silence update 00000000-0000-4000-8000-999999999999 --comment=x
silence update
silence expire ID
silence expire ID
silence expire nothing
silence query -q --created-by=Ann
silence query --expired
silence query --expired --within=1h
silence import missing.json
silence import broken.json
silence import none.json
silence import some.json
silence query -o %s imported=yes
`

// imports are files for amtool silence import.
var imports = map[string]string{
	"broken.json": "{",
	"none.json":   "[]",
	"some.json": `[{"matchers":[{"name":"imported","value":"yes","isRegex":false,"isEqual":true}],"startsAt":"2036-01-01T00:00:00.000Z",
		"endsAt":"2036-01-02T00:00:00.000Z","createdBy":"Ann","comment":"one"}]`,
}

// TestLikeAlertmanager has alertd and Debian's Alertmanager do the same with one alertmanager.yml, through amtool, and
// compares what amtool prints, and what Slack gets to see of texts as people write them.
func TestLikeAlertmanager(t *testing.T) {
	t.Parallel()
	amtool := debian(t, "amtool", "prometheus-alertmanager")
	alertmanager := debian(t, "prometheus-alertmanager", "prometheus-alertmanager")
	slack := newListener(t)
	files := map[string]string{}
	for _, name := range []string{"routing.yaml", "people.tmpl"} {
		text, err := os.ReadFile(filepath.Join("testdata", "like", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	folder := func(who string) string {
		dir := t.TempDir()
		for name, text := range files {
			text = strings.ReplaceAll(text, "{{slack}}", slack.URL+"/"+who)
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	const external = "http://am.example.com"
	ours := newWorld(t, nil, func(o *e2e.Options) {
		o.Rules, o.Args = folder("ours"), []string{"--web.external-url=" + external}
	}).daemon.URL
	dir := folder("theirs")
	for name, text := range imports {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	theirs := serve(t, alertmanager, "--config.file="+filepath.Join(dir, "routing.yaml"), "--storage.path="+t.TempDir(), "--web.external-url="+external,
		"--cluster.listen-address=")

	say := func(server string, args []string) string {
		cmd := exec.CommandContext(t.Context(), amtool, append([]string{"--alertmanager.url", server, "--no-version-check"}, args...)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return string(out) + err.Error()
		}
		return string(out)
	}
	ids := map[string]string{}
	for line := range strings.Lines(strings.TrimSpace(amtoolSays)) {
		formats := []string{""}
		if strings.Contains(line, "%s") {
			formats = []string{"simple", "extended", "json"}
		}
		for _, format := range formats {
			args := strings.Fields(strings.Replace(line, "%s", format, 1))
			told := map[string]string{}
			for _, server := range []string{ours, theirs} {
				told[server] = say(server, slices.Collect(func(yield func(string) bool) {
					for _, a := range args {
						if !yield(strings.Replace(a, "ID", ids[server], 1)) {
							return
						}
					}
				}))
				if ids[server] == "" && isUUID.MatchString(told[server]) {
					ids[server] = strings.TrimSpace(told[server])
				}
			}
			if diff := cmp.Diff(settled(told[theirs]), settled(told[ours])); diff != "" {
				t.Errorf("amtool %s (-Alertmanager +alertd)\n%s", strings.Join(args, " "), diff)
			}
		}
	}

	begun, over := `"startsAt":"`+time.Now().UTC().Format(time.RFC3339Nano)+`",`, "" // else both do not wait for the second alert
	for _, ends := range []bool{false, true} {
		if ends {
			over = `"endsAt":"` + time.Now().UTC().Format(time.RFC3339Nano) + `",`
		}
		body := `[{` + begun + over + `"labels":{"alertname":"DiskFull","cluster":"eu 1","instance":"db-1:9100","severity":"page","team":"OPS"},"annotations":{"title":"Disk is full",
			"summary":"disk of it is <full> & done","description":"  a\n  b   c ","runbook":"https://r.example/x?a=1&b=2","html":"<b>x</b>"},
			"generatorURL":"http://p/g?x=1&y=2"},
			{` + begun + over + `"labels":{"alertname":"DiskFull","cluster":"eu 1","instance":"web-2:9100","severity":"page","team":"OPS"},"annotations":{"title":"Disk is full, too",
			"summary":"disk of it is <full> & done","description":"x*y_z","runbook":"https://r.example/x?a=1&b=2"},
			"generatorURL":"http://p/g?x=2"}]`
		for _, server := range []string{ours, theirs} {
			res, err := http.Post(server+"/api/v2/alerts", "application/json", strings.NewReader(body))
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatalf("%s: %v %v", server, res, err)
			}
			_ = res.Body.Close()
		}
		const receivers = 5
		want, got := slack.wait(t, "/theirs", receivers), slack.wait(t, "/ours", receivers)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Slack hears (-Alertmanager +alertd)\n%s", diff)
		}
	}
}

var (
	isUUID  = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\s*$`)
	anyUUID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	anyTime = regexp.MustCompile(`20\d\d-\d\d-\d\d[T ][0-9:.]+( UTC|Z)?`)
	// What Alertmanager has learnt since Debian's, and what is said in other words.
	newer = strings.NewReplacer(`"mutedBy":null,`, "", `"mutedBy":[],`, "", `"mutedBy":["never"],`, "",
		`response status code does not match any response statuses defined for this endpoint in the swagger spec (status 404): {}`, "not found",
		`[DELETE /silence/{silenceID}][500] deleteSilenceInternalServerError silence not found`, "not found")
)

// settled is what amtool prints without IDs, times and the width of columns.
func settled(text string) []string {
	text = newer.Replace(anyTime.ReplaceAllString(anyUUID.ReplaceAllString(text, "ID"), "TIME"))
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

// listener keeps what is posted, by path.
type listener struct {
	*httptest.Server
	mu    sync.Mutex
	heard map[string][]any
}

func newListener(t *testing.T) *listener {
	l := &listener{heard: map[string][]any{}}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var v any
		if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.heard[r.URL.Path] = append(l.heard[r.URL.Path], meant(v))
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(l.Close)
	return l
}

// wait waits for n posts, and returns and forgets them, as sorted JSON.
func (l *listener) wait(t *testing.T, path string, n int) (out []string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		l.mu.Lock()
		if heard := l.heard[path]; len(heard) >= n || time.Now().After(deadline) {
			delete(l.heard, path)
			l.mu.Unlock()
			for _, v := range heard {
				text, err := json.MarshalIndent(v, "", " ")
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, string(text))
			}
			slices.Sort(out)
			return out
		}
		l.mu.Unlock()
	}
}

// meant is a message without what is empty, without what alertd says of itself, and with links as they are meant.
// Alertmanager calls itself by its name where nobody says another one; alertd is called as its app in Slack.
func meant(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = meant(v[i])
		}
	case map[string]any:
		for key, value := range v {
			value = meant(value)
			if v[key] = value; value == nil || value == "" || value == "Alertmanager" || strings.HasPrefix(key, "unfurl_") {
				delete(v, key)
			}
		}
	case string:
		if u, err := url.PathUnescape(v); err == nil && strings.HasPrefix(v, "http") {
			return u
		}
	}
	return v
}

// serve starts another program's server and waits until it is ready. It returns its URL.
func serve(t *testing.T, bin string, args ...string) string {
	t.Helper()
	for range 5 { // somebody else may have taken the port
		if url := tryServe(t, bin, args...); url != "" {
			return url
		}
	}
	t.Fatalf("%s does not come up", filepath.Base(bin))
	return ""
}

// tryServe returns no URL where the program ends.
func tryServe(t *testing.T, bin string, args ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	var log bytes.Buffer
	cmd := exec.Command(bin, append(args, "--web.listen-address="+addr)...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("%s said\n%s", filepath.Base(bin), log.String())
		}
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		select {
		case <-ended:
			return ""
		default:
		}
		res, err := http.Get(fmt.Sprintf("http://%s/-/ready", addr))
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return "http://" + addr
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come up: %v", bin, err)
		}
	}
}
