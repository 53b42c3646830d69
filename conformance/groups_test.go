package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// TestGroups: what Alertmanager and alertd show of the same alerts, with the same routing and silences, is the same, in the
// same order, whatever the parameters; Grafana and karma show the groups as they come.
func TestGroups(t *testing.T) {
	ours := newAlertd(t, "route: {receiver: a}\nreceivers: [{name: a}]\n")
	begin := time.Now().UTC().Truncate(time.Second)
	var shown, several int
	for seed := range uint64(25) {
		w := &amWorld{rand.New(rand.NewPCG(seed, 4))}
		config := w.config()
		ours.reroute(t, config)
		theirs := newAlertmanager(t, config)
		both := []string{theirs, ours.URL}

		alerts := w.alerts(begin)
		silences := w.silences(begin)
		for _, server := range both {
			for _, s := range silences {
				ask(t, http.MethodPost, server+"/api/v2/silences", s, http.StatusOK)
			}
			ask(t, http.MethodPost, server+"/api/v2/alerts", alerts, http.StatusOK)
		}
		eventually(t, func() bool { // Alertmanager groups them in its own time
			seen := map[string]bool{}
			for _, g := range list(t, theirs+"/api/v2/alerts/groups") {
				for _, a := range g["alerts"].([]any) {
					seen[a.(map[string]any)["fingerprint"].(string)] = true
				}
			}
			return len(seen) == len(list(t, theirs+"/api/v2/alerts"))
		})
		for _, query := range w.queries() {
			for _, path := range []string{"/api/v2/alerts/groups", "/api/v2/alerts"} {
				want, diff := compared(t, theirs, ours.URL, path+query)
				if diff != "" {
					t.Fatalf("seed %d: %s%s: Alertmanager (-), alertd (+)\n%s\n%s", seed, path, query, diff, config)
				}
				shown += len(want)
				if len(want) > 1 {
					several++
				}
			}
		}
		for i := range alerts {
			alerts[i]["endsAt"] = begin.Add(-time.Second)
		}
		ask(t, http.MethodPost, ours.URL+"/api/v2/alerts", alerts, http.StatusOK)
		for _, s := range list(t, ours.URL+"/api/v2/silences?expired=false") {
			ask(t, http.MethodDelete, ours.URL+"/api/v2/silence/"+s["id"].(string), nil, http.StatusOK)
		}
	}
	if shown < 2000 || several < 200 {
		t.Errorf("the worlds are too poor: %d groups and alerts were compared, %d lists have more than one", shown, several)
	}
}

// TestMutedGroups: a time interval mutes the group, not the alert, which may be told in another.
func TestMutedGroups(t *testing.T) {
	const config = `
route:
  receiver: a
  group_wait: 0s
  group_interval: 1h
  routes:
    - {receiver: quiet, matchers: [team="x"], continue: true, mute_time_intervals: [always]}
    - {receiver: loud, matchers: [team="x"]}
    - {receiver: closed, matchers: [team="y"], active_time_intervals: [never]}
receivers: [{name: a}, {name: quiet}, {name: loud}, {name: closed}]
time_intervals:
  - {name: always, time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]}
  - {name: never, time_intervals: [{years: ['1999']}]}
`
	theirs, ours := newAlertmanager(t, config), newAlertd(t, config)
	at := time.Now().UTC().Truncate(time.Second).Add(-time.Minute)
	var alerts []map[string]any
	for _, team := range []string{"x", "y", "z"} {
		alerts = append(alerts, map[string]any{"labels": map[string]string{"alertname": "A", "team": team}, "startsAt": at, "endsAt": at.Add(time.Hour)})
	}
	for _, server := range []string{theirs, ours.URL} {
		ask(t, http.MethodPost, server+"/api/v2/alerts", alerts, http.StatusOK)
	}
	eventually(t, func() bool { // after their first flush
		return len(list(t, theirs+"/api/v2/alerts/groups")) == 4 && len(list(t, theirs+"/api/v2/alerts/groups?muted=false")) == 2
	})
	for _, query := range []string{"", "?muted=false", "?muted=true&silenced=false", "?muted=false&receiver=quiet", "?active=false", "?receiver=quiet|loud"} {
		if _, diff := compared(t, theirs, ours.URL, "/api/v2/alerts/groups"+query); diff != "" {
			t.Errorf("%s: Alertmanager (-), alertd (+)\n%s", query, diff)
		}
	}
}

// amWorld makes up what Alertmanager and alertd are compared on.
type amWorld struct{ *rand.Rand }

func (w *amWorld) one(of ...string) string { return of[w.IntN(len(of))] }
func (w *amWorld) chance(percent int) bool { return w.IntN(100) < percent }

var worldLabels = map[string][]string{
	"alertname": {"Disk", "Down", "Slow"}, "job": {"", "api", "node"}, "instance": {"", "a:1", "b:1"},
	"severity": {"", "critical", "warning"}, "zone": {"", "", "eu", "us"}, "température": {"", "", "", "haute"},
}

func (w *amWorld) config() string {
	route := fmt.Sprintf("{receiver: a, group_wait: 1h, group_by: %s, labels: {tier: base}, routes: [%s]}", w.groupBy(), w.routes(2))
	inhibit := ""
	if w.chance(60) {
		inhibit = fmt.Sprintf("inhibit_rules: [{source_matchers: [severity=\"critical\"], target_matchers: [severity=\"warning\"], equal: [%s]}]\n", w.one("zone", "job, zone", "alertname", "instance"))
	}
	return "route: " + route + "\n" + inhibit + "receivers: [{name: a, labels: {kind: page}}, {name: b, labels: {kind: chat}}, {name: ab}, {name: c.d}]\n"
}

func (w *amWorld) groupBy() string {
	return w.one("[]", "[alertname]", "[alertname, zone]", "['...']", "[severity, job]", "[nothing]", "[\"température\"]")
}

func (w *amWorld) routes(depth int) string {
	var all []string
	for range w.IntN(4) {
		r := []string{"matchers: ['" + w.matcher() + "']"}
		if w.chance(60) {
			r = append(r, "receiver: "+w.one("a", "b", "ab", "c.d"))
		}
		if w.chance(50) {
			r = append(r, "group_by: "+w.groupBy())
		}
		if w.chance(40) {
			r = append(r, "continue: true")
		}
		if w.chance(20) {
			r = append(r, "labels: {team: "+w.one("x", "y")+"}")
		}
		if depth > 0 && w.chance(40) {
			r = append(r, "routes: ["+w.routes(depth-1)+"]")
		}
		all = append(all, "{"+strings.Join(r, ", ")+"}")
	}
	return strings.Join(all, ", ")
}

func (w *amWorld) matcher() string {
	return w.one(`severity="critical"`, `severity!="critical"`, `job=~"a.*"`, `zone=""`, `zone!=""`, `alertname=~"Disk|Slow"`, `instance!~"a:.*"`, `"température"=haute`, `job="node"`)
}

func (w *amWorld) alerts(begin time.Time) (out []map[string]any) {
	for range 5 + w.IntN(25) {
		ls := map[string]string{}
		for name, values := range worldLabels {
			ls[name] = w.one(values...)
		}
		out = append(out, map[string]any{
			"labels": ls, "annotations": map[string]string{"summary": w.one("It <b>broke</b>.", "")}, "generatorURL": w.one("http://p/g?a=1&b=2", ""),
			"startsAt": begin.Add(-time.Duration(w.IntN(3600)) * time.Second), "endsAt": begin.Add(time.Hour),
		})
	}
	// Of two posts of one alert the newer decides; with all else equal it does not matter which that is.
	slices.SortFunc(out, func(a, b map[string]any) int {
		return strings.Compare(fmt.Sprint(a["labels"]), fmt.Sprint(b["labels"]))
	})
	return slices.CompactFunc(out, func(a, b map[string]any) bool { return fmt.Sprint(a["labels"]) == fmt.Sprint(b["labels"]) })
}

func (w *amWorld) silences(begin time.Time) (out []map[string]any) {
	for range w.IntN(3) {
		name := w.one("alertname", "zone", "job", "température")
		values := worldLabels[name]
		out = append(out, map[string]any{
			"matchers": []map[string]any{{"name": name, "value": values[len(values)-1], "isRegex": w.chance(30), "isEqual": true}},
			"startsAt": begin, "endsAt": begin.Add(time.Hour), "createdBy": "Ann", "comment": "works on it",
		})
	}
	return out
}

// queries are what Grafana, karma and amtool ask with, and more.
func (w *amWorld) queries() []string {
	all := []string{
		"", "?silenced=true&inhibited=true&active=true", "?silenced=false&inhibited=false&unprocessed=false&active=true", "?active=false", "?silenced=false", "?inhibited=false", "?receiver=b", "?receiver=a.*", "?receiver=c.d",
		"?receiver_matchers=" + url.QueryEscape(`kind="chat"`), "?receiver_matchers=" + url.QueryEscape(`name=~"a.*"`),
	}
	for range 4 {
		q := url.Values{"filter": {w.matcher()}}
		if w.chance(50) {
			q.Add("filter", w.matcher())
		}
		if w.chance(50) {
			q.Set(w.one("active", "silenced", "inhibited"), w.one("true", "false"))
		}
		if w.chance(40) {
			q.Set("receiver", w.one("a", "b", "a|b", "ab?"))
		}
		all = append(all, "?"+q.Encode())
	}
	return all
}

// ask sends JSON and returns what is answered.
func ask(t *testing.T, method, target string, body any, status int) []byte {
	t.Helper()
	var b bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&b).Encode(body); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, &b)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status {
		t.Fatalf("%s %s: %d %s %v", method, target, res.StatusCode, text, err)
	}
	return text
}

// list is what a GET answers with.
func list(t *testing.T, target string) (out []map[string]any) {
	t.Helper()
	text := ask(t, http.MethodGet, target, nil, http.StatusOK)
	if err := json.Unmarshal(text, &out); err != nil || out == nil {
		t.Fatalf("GET %s: %v %s", target, err, text)
	}
	return out
}

// compared asks alertd once, and Alertmanager until it says the same or a minute is over: its groups and its inhibition learn of
// an alert each in their own time, after the post was answered. It returns what Alertmanager said last, and the difference.
func compared(t *testing.T, theirs, ours, path string) (want []map[string]any, diff string) {
	t.Helper()
	got := plainly(list(t, ours+path))
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		want = plainly(list(t, theirs+path))
		if diff = gocmp.Diff(want, got); diff == "" || time.Now().After(end) {
			return want, diff
		}
	}
}

// plainly leaves out what must differ: when an alert came, and IDs. Alertmanager names receivers of one alert as often as
// routes lead there, in the order of the routes; alertd once. Which of several inhibiting alerts is named is nobody's
// promise, and neither is the order of groups with equal labels and receivers.
func plainly(all []map[string]any) []map[string]any {
	defer func() {
		same := func(a, b map[string]any) bool {
			return a["alerts"] != nil && fmt.Sprint(a["labels"], a["receiver"]) == fmt.Sprint(b["labels"], b["receiver"])
		}
		for i := 0; i < len(all); {
			k := i + 1
			for k < len(all) && same(all[i], all[k]) {
				k++
			}
			slices.SortFunc(all[i:k], func(a, b map[string]any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			i = k
		}
	}()
	for _, item := range all {
		if alerts, ok := item["alerts"].([]any); ok {
			for _, a := range alerts {
				plainly([]map[string]any{a.(map[string]any)})
			}
			continue
		}
		delete(item, "updatedAt")
		for _, key := range []string{"startsAt", "endsAt"} {
			if at, err := time.Parse(time.RFC3339, fmt.Sprint(item[key])); err == nil {
				item[key] = at.UTC().String()
			}
		}
		if status, ok := item["status"].(map[string]any); ok {
			for _, key := range []string{"silencedBy", "inhibitedBy"} {
				status[key] = len(status[key].([]any))
			}
		}
		var names []string
		for _, r := range item["receivers"].([]any) {
			names = append(names, fmt.Sprint(r))
		}
		slices.Sort(names)
		item["receivers"] = slices.Compact(names)
	}
	return all
}
