package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/config"
	"alertd/router"
)

const token = "xoxb-very-secret"

func env(name string) (string, bool) {
	v, ok := map[string]string{
		"TOKEN": token, "TEAM": "storage", "EMPTY": "", "BAD": "not-a-duration-but-" + token, "HOOK": "http://127.0.0.1:1/" + token,
	}[name]
	return v, ok
}

func readFile(name string) ([]byte, error) {
	v, ok := map[string]string{
		"/run/token": token + "\n", "/run/hook": "https://hooks.slack.com/services/" + token + "\n", "/run/empty": " \n",
		"/run/signing": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	}[name]
	switch {
	case ok:
		return []byte(v), nil
	case strings.HasPrefix(name, "testdata/"):
		return os.ReadFile(name)
	default:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
}

func parse(t testing.TB, text string) *config.Routing {
	t.Helper()
	r, warnings, err := config.ParseRouting("routing.yaml", []byte(text), env, readFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Errorf("warning: %s", w)
	}
	return r
}

const small = "receivers: [{name: a}, {name: b}]\n"

// describe draws the tree, one node a line.
func describe(r *router.Route, indent string) string {
	by := strings.Join(r.GroupBy, ",")
	if r.GroupByAll {
		by = "..."
	}
	var s strings.Builder
	s.WriteString(fmt.Sprintf("%s%s to=%s by=%s %s/%s/%s %s", indent, r.ID, r.Receiver, by, r.GroupWait, r.GroupInterval, r.RepeatInterval, r.Deliver))
	for _, extra := range slices.Concat([]string{r.Calendar}, r.MuteTimeIntervals, r.ActiveTimeIntervals) {
		if extra != "" {
			s.WriteString(" " + extra)
		}
	}
	if r.Continue {
		s.WriteString(" continue")
	}
	s.WriteString("\n")
	for _, child := range r.Routes {
		s.WriteString(describe(child, indent+"  "))
	}
	return s.String()
}

func TestInheritance(t *testing.T) {
	r := parse(t, `
route:
  receiver: a
  group_by: [cluster]
  routes:
    - matchers: [x="1"]
      receiver: b
      group_wait: 0s
      deliver: business_hours
      mute_time_intervals: [night]
      routes:
        - matchers: [y="1"]
          group_by: []
          deliver: dashboard
        - matchers: [y="2"]
          calendar: other
    - matchers: [x="1"]
      continue: true
      group_by: ['...']
      group_interval: 1d
      routes:
        - match: {y: "1"}
        - match_re: {y: "a|b"}
          group_by: [zone, cluster]
          repeat_interval: 1.5h
receivers: [{name: a}, {name: b}]
time_intervals: [{name: night, time_intervals: [{times: [{start_time: "00:00", end_time: "06:00"}]}]}]
calendars:
  default: {time_zone: UTC, hours: [mon-fri 09:00-18:00]}
  other: {time_zone: Europe/Berlin, hours: [mon-fri 09:00-18:00], holidays: [2026-12-25]}
`)
	want := `{} to=a by=cluster 30s/5m0s/4h0m0s immediate
  {}/{x="1"} to=b by=cluster 0s/5m0s/4h0m0s business_hours default night
    {}/{x="1"}/{y="1"} to=b by= 0s/5m0s/4h0m0s dashboard default
    {}/{x="1"}/{y="2"} to=b by=cluster 0s/5m0s/4h0m0s business_hours other
  {}/{x="1"}#2 to=a by=... 30s/24h0m0s/4h0m0s immediate continue
    {}/{x="1"}/{y="1"}#2 to=a by=... 30s/24h0m0s/4h0m0s immediate
    {}/{x="1"}/{y=~"a|b"} to=a by=zone,cluster 30s/24h0m0s/1h30m0s immediate
`
	if diff := cmp.Diff(want, describe(r.Root, "")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if c := r.Calendars["other"]; c == nil || c.Name() != "other" || c.IsOpen(time.Date(2026, 12, 25, 12, 0, 0, 0, time.UTC)) {
		t.Error("the calendar other is not what the file says")
	}
	if r.ResolveTimeout != 5*time.Minute {
		t.Errorf("resolve_timeout %s", r.ResolveTimeout)
	}
}

func TestReceivers(t *testing.T) {
	r := parse(t, `
global:
  resolve_timeout: 1m
  slack_api_url_file: /run/hook
  slack_app_token: ${TOKEN}
route: {receiver: all}
receivers:
  - name: all
    slack_configs:
      - channel: '#team-${TEAM}'
      - {api_url: 'http://127.0.0.1:8080/hook', send_resolved: false}
      - {bot_token_file: /run/token, channel: C1, api_url: 'http://127.0.0.1:8080/api'}
      - {app_token: t, channel: C2, app_url: 'https://slack-gov.com/api/chat.postMessage'}
      - {api_url_file: /run/hook, channel: ''}
    webhook_configs:
      - url: ${HOOK}
      - {url: 'https://example.org/', secret_file: /run/signing, timeout: 5s, max_alerts: 10, send_resolved: no}
    console_configs: [{}]
  - name: nobody
`)
	if len(r.Receivers) != 2 || r.Receivers[0].Name != "all" || r.Receivers[1].Name != "nobody" || !r.Receivers[0].Console {
		t.Fatalf("receivers %+v", r.Receivers)
	}
	if got := r.Receivers[1]; got.Slack != nil || got.Webhook != nil || got.Console {
		t.Errorf("nobody got %+v", got)
	}
	hook := config.Secret("https://hooks.slack.com/services/" + token)
	reveal := cmp.Comparer(func(a, b config.Secret) bool { return a.Reveal() == b.Reveal() })
	wantSlack := []config.Slack{
		{APIURL: "https://slack.com/api/", BotToken: token, Channel: "#team-storage", SendResolved: true},
		{APIURL: "http://127.0.0.1:8080/hook"},
		{APIURL: "http://127.0.0.1:8080/api/", BotToken: token, Channel: "C1", SendResolved: true},
		{APIURL: "https://slack-gov.com/api/", BotToken: "t", Channel: "C2", SendResolved: true},
		{APIURL: hook, SendResolved: true},
	}
	for i, want := range wantSlack {
		got := r.Receivers[0].Slack[i]
		if !cmp.Equal(want, got, reveal) {
			t.Errorf("slack %d: url %s, token %s, %+v", i, got.APIURL.Reveal(), got.BotToken.Reveal(), got)
		}
	}
	wantHooks := []config.Webhook{
		{URL: "http://127.0.0.1:1/" + token, SendResolved: true},
		{URL: "https://example.org/", Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Timeout: 5 * time.Second, MaxAlerts: 10},
	}
	for i, want := range wantHooks {
		if got := r.Receivers[0].Webhook[i]; !cmp.Equal(want, got, reveal) {
			t.Errorf("webhook %d: %+v", i, got)
		}
	}
	if r.ResolveTimeout != time.Minute {
		t.Errorf("resolve_timeout %s", r.ResolveTimeout)
	}
	if s := fmt.Sprintf("%v %+v %#v", r, r.Receivers, r.Receivers); strings.Contains(s, token) {
		t.Errorf("printing shows the token: %s", s)
	}
}

// A receiver with credentials of its own, as they were written before Alertmanager knew tokens, does not take the global token.
func TestSlackTokenOfItsOwn(t *testing.T) {
	r := parse(t, `
global: {slack_app_token: theirs, slack_api_url: 'https://slack.com/api/chat.postMessage'}
route: {receiver: a}
receivers:
  - name: a
    slack_configs:
      - {channel: C1}
      - {channel: C2, http_config: {authorization: {credentials: mine}}}
`)
	for i, want := range []string{"theirs", "mine"} {
		if got := r.Receivers[0].Slack[i]; got.BotToken.Reveal() != want || got.APIURL.Reveal() != "https://slack.com/api/" {
			t.Errorf("slack %d: token %q at %s, want %q", i, got.BotToken.Reveal(), got.APIURL.Reveal(), want)
		}
	}
}

func TestAnchorsAndMergeKeys(t *testing.T) {
	r := parse(t, `
route:
  receiver: a
  routes:
    - &base
      matchers: [&m 'x="1"']
      receiver: b
      group_wait: 1s
    - <<: *base
      matchers: [*m, 'y="2"']
      continue: true
    - <<: [{group_wait: 2s}, *base]
`+small)
	want := `{} to=a by= 30s/5m0s/4h0m0s immediate
  {}/{x="1"} to=b by= 1s/5m0s/4h0m0s immediate
  {}/{x="1",y="2"} to=b by= 1s/5m0s/4h0m0s immediate continue
  {}/{x="1"}#2 to=b by= 2s/5m0s/4h0m0s immediate
`
	if diff := cmp.Diff(want, describe(r.Root, "")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestMatchersAndInhibitions(t *testing.T) {
	r := parse(t, `
route:
  receiver: a
  routes:
    - matchers: ['{a="1",b!="2"}', c=~"x|y", 'd !~ "^z.*$"', '"label with space"="v"', 'e="${TEAM}"', 'f="$${TEAM}"']
inhibit_rules:
  - name: down
    source_matchers: [severity="critical"]
    target_matchers: [severity=~"warning|info"]
    equal: [service]
  - source_match: {kind: node}
    target_match_re: {kind: pod|container}
`+small)
	if got, want := r.Root.Routes[0].ID, `{}/{a="1",b!="2",c=~"x|y",d!~"^z.*$",e="storage",f="${TEAM}","label with space"="v"}`; got != want {
		t.Errorf("route %s, want %s", got, want)
	}
	if len(r.Inhibitions) != 2 || r.Inhibitions[0].Name != "down" || r.Inhibitions[0].Equal[0] != "service" {
		t.Fatalf("inhibitions %+v", r.Inhibitions)
	}
	in := router.NewInhibitor(r.Inhibitions, nil)
	in.Add(1, labels.FromStrings("kind", "node"))
	for ls, want := range map[string]bool{"pod": true, "container": true, "node": false, "podx": false} {
		if _, _, got := in.InhibitedBy(labels.FromStrings("kind", ls)); got != want {
			t.Errorf("kind %s is a target: %t, want %t", ls, got, want)
		}
	}
}

func TestTimeIntervals(t *testing.T) {
	r := parse(t, `
route:
  receiver: a
  routes:
    - matchers: [x="1"]
      active_time_intervals: [office]
      mute_time_intervals: [old]
time_intervals:
  - name: office
    time_intervals:
      - times: [{start_time: 09:00, end_time: "24:00"}]
        weekdays: ['monday:friday', Sunday]
        location: America/New_York
mute_time_intervals:
  - name: old
    time_intervals:
      - {days_of_month: ['-3:-1', 1, '5:7'], months: ['january:march', 12], years: [2026, '2028:2030']}
`+small)
	d := r.Root.Decide(labels.FromStrings("x", "1"))[0]
	for now, want := range map[string]string{
		"2026-04-15T14:00:00Z": "",       // Wednesday, 10:00 in New York
		"2026-04-15T12:59:00Z": "office", // 08:59 there
		"2026-04-18T14:00:00Z": "office", // a Saturday
		"2026-03-31T14:00:00Z": "old",
		"2027-03-31T14:00:00Z": "",
	} {
		at, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		if by, _, _ := r.Intervals.Muted(at, d.Mute, d.Active); by != want {
			t.Errorf("%s: muted by %q, want %q", now, by, want)
		}
	}
}

// TestMistakes replays testdata/mistakes/*.txt: a routing file, a line "----", and what is wrong with it.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/mistakes/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text, want, _ := strings.Cut(string(data), "----\n")
			r, warnings, err := config.ParseRouting("routing.yaml", []byte(text), env, readFile)
			got := told(warnings, err)
			if (r != nil) != (err == nil) {
				t.Errorf("routing %v with error %v", r, err)
			}
			if strings.Contains(got, token) {
				t.Errorf("shows a secret: %s", got)
			}
			if os.Getenv("REWRITE") != "" {
				if err := os.WriteFile(file, []byte(text+"----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got; REWRITE=1 draws it anew)\n%s", diff)
			}
		})
	}
}

func told(warnings []config.Warning, err error) string {
	var b strings.Builder
	for _, w := range warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	if err != nil {
		fmt.Fprintln(&b, err)
	}
	return b.String()
}

func TestErrorsHavePositions(t *testing.T) {
	_, _, err := config.ParseRouting("r.yaml", []byte("route:\n  recevier: a\n"), env, readFile)
	e, ok := errors.AsType[*config.Error](err)
	if !ok || e.File != "r.yaml" || e.Line != 2 || e.Column != 3 {
		t.Errorf("%+v", err)
	}
}

func TestBounds(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n")
	for i := range 8 {
		bomb.WriteString(fmt.Sprintf("x%d: &x%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*x%d, ", i), 10), ", ")))
	}
	deep := "route: {receiver: a, routes: " + strings.Repeat("[{routes: ", 200) + "[]" + strings.Repeat("}]", 200) + "}\n" + small
	many := "route: {receiver: a}\nreceivers:\n" + strings.Repeat("- {nome: a}\n", 500)
	for name, tt := range map[string]struct{ text, want string }{
		"circle":  {"route: &r {receiver: a, routes: [*r]}\n" + small, "nested more than 64 deep"},
		"wide":    {"route: &r {receiver: a, routes: [*r, *r, *r]}\n" + small, "more than 100000 values"},
		"bomb":    {bomb.String() + "route: {receiver: a, group_by: *x8}\n" + small, "single value"},
		"deep":    {deep, "nested more than 64 deep"},
		"large":   {strings.Repeat("# comment\n", 1<<19), "larger than 4 MiB"},
		"many":    {many, "and 451 more"},
		"binary":  {"\x00\x01\x02", "routing.yaml:1:1: this is not YAML"},
		"utf8":    {"route: \xff\xfe", "routing.yaml:1:1: this is not YAML"},
		"merging": {"route: &r {receiver: a, <<: *r}\n" + small, "merges another one"},
	} {
		start := time.Now()
		_, _, err := config.ParseRouting("routing.yaml", []byte(tt.text), env, readFile)
		if name == "bomb" { // unknown keys are told; the aliases behind them are never followed
			tt.want = "unknown key"
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %.300v does not say %q", name, err, tt.want)
		}
		if d := time.Since(start); d > 30*time.Second {
			t.Errorf("%s took %s", name, d)
		}
	}
}

func TestDeliveriesAreTheRootsWords(t *testing.T) {
	for _, d := range []alertd.Delivery{alertd.Immediate, alertd.BusinessHours, alertd.Dashboard} {
		r := parse(t, fmt.Sprintf("route: {receiver: a, deliver: %s}\ncalendars: {x: {time_zone: UTC, hours: ['mon 00:00-24:00']}}\n", d)+small)
		if r.Root.Deliver != d {
			t.Errorf("deliver %s, want %s", r.Root.Deliver, d)
		}
	}
}

func FuzzParseRouting(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.*") // no folders
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		text, _, _ := strings.Cut(string(data), "----\n")
		f.Add([]byte(text))
	}
	ls := labels.FromStrings("alertname", "A", "severity", "critical")
	f.Fuzz(func(t *testing.T, data []byte) {
		r, warnings, err := config.ParseRouting("routing.yaml", data, env, readFile)
		if strings.Contains(told(warnings, err), token) {
			t.Errorf("shows a secret: %s", told(warnings, err))
		}
		if err != nil {
			if e, ok := errors.AsType[*config.Error](err); !ok || e.Line < 1 || e.Column < 1 {
				t.Errorf("an error without a position: %v", err)
			}
			return
		}
		decisions := r.Root.Decide(ls)
		if len(decisions) == 0 {
			t.Error("an alert that no route takes")
		}
		for _, d := range decisions {
			if d.Receiver == "" || d.GroupInterval <= 0 || d.RepeatInterval <= 0 || d.GroupWait < 0 {
				t.Errorf("bad decision %+v", d)
			}
			if d.Deliver == alertd.BusinessHours && r.Calendars[d.Calendar] == nil {
				t.Errorf("business hours without a calendar: %+v", d)
			}
			r.Intervals.Muted(time.Unix(1_800_000_000, 0), d.Mute, d.Active)
		}
	})
}
