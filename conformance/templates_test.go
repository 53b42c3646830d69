package conformance

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"sort"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	amalert "github.com/prometheus/alertmanager/alert"
	amtemplate "github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/notifier"
	"alertd/templates"
)

// TestTemplates: of the same alerts, every function and every default template of Alertmanager's says the same here.
func TestTemplates(t *testing.T) {
	set, err := templates.Parse()
	if err != nil {
		t.Fatal(err)
	}
	am, err := amtemplate.FromGlobs(nil)
	if err != nil {
		t.Fatal(err)
	}
	am.ExternalURL = &url.URL{}
	texts := map[string]string{ // by the function that they are about; the names of all are checked below
		"toUpper": `{{ .Status | toUpper }}`, "toLower": `{{ "ÄB" | toLower }}`, "title": `{{ title "disk is full" }}`, "trimSpace": `{{ trimSpace "  x " }}`,
		"join": `{{ .CommonLabels.Values | join "," }} {{ .GroupLabels.SortedPairs.Names | join "/" }}`, "match": `{{ match "^D" .CommonLabels.alertname }}`,
		"safeHtml": `{{ safeHtml "<b>" }}`, "safeUrl": `{{ safeUrl "http://x/?a=b&c" }}`, "urlUnescape": `{{ urlUnescape "a%20b+c" }}`,
		"reReplaceAll": `{{ reReplaceAll "(.).*" "$1!" .Receiver }}`, "stringSlice": `{{ stringSlice "a" "b" | join "-" }}`, "routeLabels": `{{ routeLabels "tier" }}|{{ routeLabels "none" }}`,
		"date": `{{ range .Alerts }}{{ .StartsAt | date "2006-01-02 15:04" }} {{ end }}`, "tz": `{{ range .Alerts }}{{ .StartsAt | tz "Asia/Kolkata" | date "15:04 MST" }} {{ end }}`,
		"now": `{{ now | date "2006" }}`, "since": `{{ gt (since (index .Alerts 0).StartsAt).Hours 1.0 }}`, "humanizeDuration": `{{ humanizeDuration 3725.5 }}`,
		"toDate": `{{ (toDate "2006-01-02" "2026-03-04").Unix }} {{ (toDate "x" "y").IsZero }}`, "mustToDate": `{{ (mustToDate "2006-01-02" "2026-03-04").Weekday }}`,
		"toJson": `{{ toJson .CommonLabels }} {{ toJson .Alerts }}`, "base64encode": `{{ base64encode "ä?>" }}`, "base64decode": `{{ base64decode "w6Q_Pg==" }}`,
		"list": `{{ list 1 "a" | toJson }} {{ list | toJson }}`, "append": `{{ append (list 1) 2 3 | toJson }}`, "dict": `{{ dict "a" 1 "b" (list "x") | toJson }}`,

		"data":  `{{ .Receiver }} {{ .Status }} {{ .NotificationReason }} {{ .GroupLabels }} {{ .CommonLabels }} {{ .CommonAnnotations }} {{ .RouteLabels }} {{ .ExternalURL }}`,
		"lists": `{{ len .Alerts.Firing }} {{ len .Alerts.Resolved }} {{ range .Alerts }}{{ .Fingerprint }} {{ .Status }} {{ .Labels.SortedPairs }} {{ .Annotations.Names }} {{ .EndsAt }} {{ .GeneratorURL }};{{ end }}`,
		"kv":    `{{ with .CommonLabels.Remove .GroupLabels.Names }}{{ .SortedPairs }} {{ .Values | join " " }}{{ end }}{{ .GroupLabels.SortedPairs.Values }}`,
	}
	for name := range amtemplate.DefaultFuncs {
		if texts[name] == "" {
			t.Errorf("Alertmanager has a function %s, and no text has it", name)
		}
	}
	for _, name := range []string{
		"slack.default.title", "slack.default.text", "slack.default.titlelink", "slack.default.pretext", "slack.default.fallback", "slack.default.color", "slack.default.footer",
		"slack.default.username", "slack.default.callbackid", "__subject", "__text_alert_list", "pagerduty.default.description", "pagerduty.default.instances", "opsgenie.default.message",
		"email.default.subject", "telegram.default.message", "discord.default.title", "msteams.default.title", "webex.default.message", "pushover.default.title",
	} {
		texts[name] = `{{ template "` + name + `" . }}`
	}
	for _, name := range []string{"__text_alert_list", "pagerduty.default.instances"} {
		texts[name] = `{{ template "` + name + `" .Alerts }}`
	}

	for seed := range uint64(30) {
		w := &amWorld{rand.New(rand.NewPCG(seed, 5))}
		at := time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)
		n := &alertd.Notification{Receiver: w.one("team", "a.b"), Reason: "first notification", GroupLabels: labels.FromStrings("alertname", "Disk"), RouteLabels: labels.FromStrings("tier", "base")}
		var theirs []*amalert.Alert
		for i := range 1 + w.IntN(5) {
			ls := map[string]string{"alertname": "Disk", "n": fmt.Sprint(i)}
			for _, name := range []string{"job", "instance", "severity", "zone"} {
				if v := w.one(worldLabels[name]...); v != "" {
					ls[name] = v
				}
			}
			annotations := map[string]string{"summary": w.one("It is full.", "It <is> \"bad\"")}
			a := alertd.Notified{Alert: alertd.Alert{
				Rule: alertd.RulePosted, Labels: labels.FromMap(ls), Annotations: labels.FromMap(annotations), State: alertd.Firing, ActiveAt: at, FiredAt: at.Add(time.Duration(i) * time.Minute),
				GeneratorURL: "http://p/g", Ack: &alertd.Ack{By: "Ann"}, // who has it needs no link to take it
			}}
			a.Fingerprint = alertd.FingerprintOf(a.Labels)
			b := &amalert.Alert{Alert: model.Alert{Labels: model.LabelSet{}, Annotations: model.LabelSet{}, StartsAt: a.FiredAt, GeneratorURL: "http://p/g"}}
			if w.chance(40) {
				a.State, a.ResolvedAt, a.GoneAt = alertd.Resolved, at.Add(time.Hour), at.Add(time.Hour)
				b.EndsAt = a.ResolvedAt
			}
			for k, v := range ls {
				b.Labels[model.LabelName(k)] = model.LabelValue(v)
			}
			for k, v := range annotations {
				b.Annotations[model.LabelName(k)] = model.LabelValue(v)
			}
			n.Alerts, theirs = append(n.Alerts, a), append(theirs, b)
		}
		sort.Stable(amalert.AlertSlice(theirs))
		want := am.Data(n.Receiver, model.LabelSet{"alertname": "Disk"}, model.LabelSet{"tier": "base"}, "first notification", theirs...)
		got := notifier.TemplateData(n, "")
		for _, name := range slices.Sorted(func(yield func(string) bool) {
			for name := range texts {
				if !yield(name) {
					return
				}
			}
		}) {
			w, err := am.ExecuteTextString(texts[name], want)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			g, err := set.Expand(texts[name], got)
			if diff := gocmp.Diff(w, g); diff != "" || err != nil {
				t.Errorf("seed %d, %s: %v; Alertmanager (-), alertd (+)\n%s", seed, texts[name], err, diff)
			}
		}
		if t.Failed() {
			break
		}
	}
}
