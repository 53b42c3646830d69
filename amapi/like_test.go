package amapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"alertd/amapi"
)

// TestLikeAlertmanager asks Debian's Alertmanager and alertd's API the same, and compares status and what is shown.
func TestLikeAlertmanager(t *testing.T) {
	theirs := alertmanager(t)
	server := httptest.NewServer(amapi.New(amapi.Options{State: newFake(time.Now), StartedAt: now}))
	defer server.Close()

	const sil = `"createdBy":"me","comment":"","startsAt":"2026-01-01T00:00:00Z"`
	for _, r := range []string{
		`POST alerts [{"labels":{"alertname":"A","x":""},"annotations":{"s":"<&>é\u2028","empty":""},"startsAt":"2026-01-01T10:00:00.123456+02:00","generatorURL":"http://p/g?a=1&b=2"},
			{"labels":{"alertname":"B","job":"x"},"startsAt":"2026-01-01T10:00:00Z","endsAt":"2106-01-01T10:00:00Z"},{"labels":{"alertname":"B","instance":"i"},"startsAt":"2026-01-01T10:00:00Z"},
			{"labels":{"alertname":"over"},"endsAt":"2026-01-01T10:00:00Z"}]`,
		`GET alerts`, `GET alerts/groups`, `GET alerts?active=false`, `GET alerts?active=no`, `GET alerts?silenced=x&inhibited=0`,
		`GET alerts?filter=alertname%3DA`, `GET alerts?filter=x%3D%22%22`, `GET alerts?filter=job!%3D%22%22`, `GET alerts?filter=job%3D~x|y&filter=alertname!~A.*`,
		`GET alerts?receiver=tea.`, `GET alerts?receiver=tea`, `GET alerts?receiver=`, `GET alerts/groups?receiver=`, `GET alerts?receiver=team&receiver=other`, `GET alerts/groups?receiver=other`, `GET alerts/groups?filter=alertname%3DB`,
		`GET alerts?filter=x`, `GET alerts?receiver=(`, `GET alerts?filter=%7Ba%3Db%7D`, // its receivers have labels only since 0.34
		`POST alerts []`, `POST alerts null`, `POST alerts {}`, `POST alerts `, `POST alerts [{}]`, `POST alerts [{"labels":null}]`,
		`POST alerts [{"labels":{}}]`, `POST alerts [{"labels":{"":"x"}}]`, `POST alerts [{"labels":{"a":1}}]`, `POST alerts [{"labels":{"a":"b"}`, `POST alerts [{"Labels":{"a":"b"},"STARTSAT":"2026-01-01T00:00:00Z","endsat":"2026-01-02T00:00:00Z"}]`,
		`POST alerts [{"labels":{"a":"b"},"startsAt":"yesterday"}]`, `POST alerts [{"labels":{"a":"b"},"generatorURL":"not a uri"}]`,
		`POST alerts [{"labels":{"a":"b"},"startsAt":"2026-01-01T10:00:00Z","endsAt":"2025-01-01T10:00:00Z"}]`,
		`PUT alerts`, `GET nope`, `GET status/`, `OPTIONS silences`,
		`GET silences`, `GET silence/xx`, `DELETE silence/xx`, `GET silence/6ba7b810-9dad-11d1-80b4-00c04fd430c8`,
		`POST silences `, `POST silences {}`, `POST silences {`, `POST silences []`,
		`POST silences {"matchers":[],` + sil + `,"endsAt":"2106-01-01T00:00:00Z"}`,
		`POST silences {"matchers":[{"name":"a","value":"b"}],` + sil + `,"endsAt":"2106-01-01T00:00:00Z"}`,
		`POST silences {"matchers":[{"name":"a","value":"","isRegex":false}],` + sil + `,"endsAt":"2106-01-01T00:00:00Z"}`,
		`POST silences {"matchers":[{"name":"a","value":"(","isRegex":true}],` + sil + `,"endsAt":"2106-01-01T00:00:00Z"}`,
		`POST silences {"matchers":[{"name":"a","value":"b","isRegex":false}],` + sil + `,"endsAt":"2026-01-01T00:00:00Z"}`,
		`POST silences {"matchers":[{"name":"a","value":"b","isRegex":false}],` + sil + `,"endsAt":"2026-01-01T00:00:01Z"}`,
		`POST silences {"matchers":[{"name":"alertname","value":".*","isRegex":true,"isEqual":false}],` + sil + `,"endsAt":"2105-01-01T00:00:00Z"}`,
		`POST silences {"matchers":[{"name":"none","value":".*","isRegex":true,"isEqual":true},{"name":"none","value":"","isRegex":false,"isEqual":true}],` + sil + `,"endsAt":"2105-01-01T00:00:00Z"}`,
		`GET silences?filter=alertname!~.*`, `GET silences?filter=alertname%3D~.*`,
		`POST silences {"id":"nope","matchers":[{"name":"a","value":"b","isRegex":false}],` + sil + `,"endsAt":"2106-01-01T00:00:00Z"}`,
		`POST silences {"matchers":[{"name":"alertname","value":"A|C","isRegex":true}],` + sil + `,"endsAt":"2106-01-01T00:00:00Z"}`,
		`GET silences`, `GET silences?filter=alertname%3D~%22A|C%22`, `GET silences?filter=alertname%3DA`,
		`GET alerts?silenced=false`, `GET alerts?active=false`, `GET alerts/groups?silenced=false`,
	} {
		ourStatus, ourBody := request(t, server.URL, r)
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			theirStatus, theirBody := request(t, theirs, r)
			if theirStatus == ourStatus && (ourStatus != 200 || reflect.DeepEqual(settled(t, theirBody), settled(t, ourBody))) {
				break
			}
			if !strings.HasPrefix(r, http.MethodGet) || time.Now().After(deadline) { // it puts what is posted into groups after it has answered
				t.Errorf("%s:\nAlertmanager %d %s\nalertd       %d %s", r, theirStatus, theirBody, ourStatus, ourBody)
				break
			}
		}
	}
}

// alertmanager starts Debian's, alone, and returns its URL.
func alertmanager(t *testing.T) string {
	bin, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		t.Skipf("no Alertmanager to compare with (Debian has it as prometheus-alertmanager): %v", err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(config, []byte("route: {receiver: team, group_by: [alertname]}\nreceivers: [{name: team}, {name: other}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "--config.file="+config, "--storage.path="+dir, "--web.listen-address=127.0.0.1:0", "--cluster.listen-address=")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer // not to be read before it has ended
	listens, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(io.TeeReader(log, &told)); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil && len(listens) == 0 {
				listens <- m[1]
			}
		}
		_ = cmd.Wait()
	}()
	stop := func() { _ = cmd.Process.Kill(); <-ended }
	t.Cleanup(stop)
	select {
	case addr := <-listens:
		if url := "http://" + addr; answers(url+"/-/ready", ended) {
			return url
		}
	case <-ended:
	case <-time.After(time.Minute):
	}
	stop()
	t.Fatalf("Alertmanager does not come up:\n%s", told.String())
	return ""
}

// listening is the line with which Alertmanager says which port it was given.
var listening = regexp.MustCompile(`Listening on"? address=(127\.0\.0\.1:\d+)`)

// answers waits until a URL is answered with 200, for a minute, or until the program has ended that is to answer.
func answers(url string, ended <-chan struct{}) bool {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-ended:
			return false
		default:
		}
		res, err := http.Get(url)
		if err != nil {
			continue
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return true
		}
	}
	return false
}

// request sends "METHOD PATH BODY".
func request(t *testing.T, url, r string) (int, string) {
	t.Helper()
	method, rest, _ := strings.Cut(r, " ")
	path, body, _ := strings.Cut(rest, " ")
	req, err := http.NewRequestWithContext(t.Context(), method, url+"/api/v2/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s: %v", r, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// settled is a body without what must differ: what depends on when and where it was made, and what Alertmanager has
// learnt since Debian's.
func settled(t *testing.T, body string) any {
	t.Helper()
	var v any
	if body == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	var clean func(v any)
	clean = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				clean(item)
			}
		case map[string]any:
			for _, key := range []string{"updatedAt", "id", "silenceID", "mutedBy", "routeLabels", "uptime", "versionInfo", "cluster", "config"} {
				delete(v, key)
			}
			for _, key := range []string{"startsAt", "endsAt"} {
				if at, err := time.Parse(time.RFC3339, str(v[key])); err == nil {
					if v[key] = at.UTC().String(); time.Since(at).Abs() < time.Hour {
						v[key] = "about now"
					}
				}
			}
			if by, ok := v["silencedBy"].([]any); ok {
				v["silencedBy"] = len(by)
			}
			for _, item := range v {
				clean(item)
			}
		}
	}
	clean(v)
	return v
}

func str(v any) string { s, _ := v.(string); return s }
