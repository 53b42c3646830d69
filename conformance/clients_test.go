package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-openapi/runtime"
	httptransport "github.com/go-openapi/runtime/client"
	"github.com/go-openapi/strfmt"
	gocmp "github.com/google/go-cmp/cmp"
	amclient "github.com/prometheus/alertmanager/api/v2/client"
	"github.com/prometheus/alertmanager/api/v2/client/alert"
	"github.com/prometheus/alertmanager/api/v2/client/alertgroup"
	"github.com/prometheus/alertmanager/api/v2/client/general"
	"github.com/prometheus/alertmanager/api/v2/client/receiver"
	"github.com/prometheus/alertmanager/api/v2/client/silence"
	"github.com/prometheus/alertmanager/api/v2/models"
	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/notifier"
)

// TestOpenAPIClient makes every call of Alertmanager's OpenAPI with the client that is generated from it, which is what
// karma and amtool have inside. What alertd answers is what the document says, and has what Alertmanager's answer has.
func TestOpenAPIClient(t *testing.T) {
	const config = "route: {receiver: a, group_by: [alertname], group_wait: 1h, labels: {tier: base}}\nreceivers: [{name: a, labels: {kind: page}}, {name: b}]\n"
	type call struct {
		what string
		make func(c *amclient.AlertmanagerAPI, silenced string) (any, error)
	}
	begin := time.Now().UTC().Truncate(time.Second)
	at := func(d time.Duration) strfmt.DateTime { return strfmt.DateTime(begin.Add(d)) }
	text, yes, no := func(s string) *string { return &s }, true, false
	post := func(ends time.Duration) func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
		return func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			var all models.PostableAlerts
			for _, name := range []string{"Disk", "Down"} {
				all = append(all, &models.PostableAlert{
					Alert: models.Alert{Labels: models.LabelSet{"alertname": name, "service": "api"}, GeneratorURL: "http://p/g"}, Annotations: models.LabelSet{"summary": "It is bad."},
					StartsAt: at(-time.Minute), EndsAt: at(ends),
				})
			}
			return c.Alert.PostAlerts(alert.NewPostAlertsParams().WithAlerts(all))
		}
	}
	groups := func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
		for { // Alertmanager groups in its own time
			r, err := c.Alertgroup.GetAlertGroups(alertgroup.NewGetAlertGroupsParams())
			if err != nil || len(r.Payload) == 2 || time.Since(begin) > time.Minute {
				return r, err
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	calls := []call{
		{"status", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			return c.General.GetStatus(general.NewGetStatusParams())
		}},
		{"receivers", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			return c.Receiver.GetReceivers(receiver.NewGetReceiversParams())
		}},
		{"receivers by labels", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			return c.Receiver.GetReceivers(receiver.NewGetReceiversParams().WithReceiverMatchers([]string{`kind="page"`}))
		}},
		{"receivers by no matcher", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			return c.Receiver.GetReceivers(receiver.NewGetReceiversParams().WithReceiverMatchers([]string{`{`}))
		}},
		{"post", post(time.Hour)},
		{"post what is no alert", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			return c.Alert.PostAlerts(alert.NewPostAlertsParams().WithAlerts(models.PostableAlerts{{Alert: models.Alert{Labels: models.LabelSet{}}}}))
		}},
		{"groups", groups},
		{"alerts", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			return c.Alert.GetAlerts(alert.NewGetAlertsParams())
		}},
		{"alerts with all parameters", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			return c.Alert.GetAlerts(alert.NewGetAlertsParamsWithTimeout(time.Minute).WithActive(&yes).WithInhibited(&no).WithSilenced(&no).WithUnprocessed(&no).
				WithReceiver(text("a|b")).WithFilter([]string{`alertname="Disk"`, `service=~"a.*"`}).WithReceiverMatchers([]string{`name!=b`}))
		}},
		{"alerts by no receiver", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			return c.Alert.GetAlerts(alert.NewGetAlertsParams().WithReceiver(text("(")))
		}},
		{"groups by no matcher", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			return c.Alertgroup.GetAlertGroups(alertgroup.NewGetAlertGroupsParams().WithFilter([]string{"=="}))
		}},
		{"make a silence", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			starts, ends := at(0), at(time.Hour)
			return c.Silence.PostSilences(silence.NewPostSilencesParams().WithSilence(&models.PostableSilence{Silence: models.Silence{
				Comment: text("works on it"), CreatedBy: text("Ann"), StartsAt: &starts, EndsAt: &ends, Annotations: models.LabelSet{"ticket": "OPS-1"},
				Matchers: models.Matchers{{Name: text("alertname"), Value: text("Disk"), IsRegex: &no, IsEqual: &yes}},
			}}))
		}},
		{"silences", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			return c.Silence.GetSilences(silence.NewGetSilencesParams())
		}},
		{"active silences", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			return c.Silence.GetSilences(silence.NewGetSilencesParams().WithActive(&yes).WithExpired(&no).WithPending(&no).WithFilter([]string{`alertname="Disk"`}))
		}},
		{"a silence", func(c *amclient.AlertmanagerAPI, id string) (any, error) {
			return c.Silence.GetSilence(silence.NewGetSilenceParams().WithSilenceID(strfmt.UUID(id)))
		}},
		{"groups with a silence", groups},
		{"end the silence", func(c *amclient.AlertmanagerAPI, id string) (any, error) {
			return c.Silence.DeleteSilence(silence.NewDeleteSilenceParams().WithSilenceID(strfmt.UUID(id)))
		}},
		{"silences that are over", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			return c.Silence.GetSilences(silence.NewGetSilencesParams().WithActive(&no).WithPending(&no))
		}},
		{"a silence that is not there", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			return c.Silence.GetSilence(silence.NewGetSilenceParams().WithSilenceID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"))
		}},
		{"end what is not there", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			return c.Silence.DeleteSilence(silence.NewDeleteSilenceParams().WithSilenceID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"))
		}},
		{"a silence without matchers", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			starts, ends := at(0), at(time.Hour)
			return c.Silence.PostSilences(silence.NewPostSilencesParams().WithSilence(&models.PostableSilence{Silence: models.Silence{
				Comment: text(""), CreatedBy: text(""), StartsAt: &starts, EndsAt: &ends, Matchers: models.Matchers{{Name: text("a"), Value: text(""), IsRegex: &no}},
			}}))
		}},
		{"resolve", post(-time.Second)},
		{"no alerts", func(c *amclient.AlertmanagerAPI, _ string) (any, error) {
			return c.Alert.GetAlerts(alert.NewGetAlertsParams())
		}},
	}
	dial := func(server string) *amclient.AlertmanagerAPI {
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal(err)
		}
		return amclient.New(httptransport.New(u.Host, "/api/v2", []string{u.Scheme}), strfmt.Default)
	}
	theirs, ours := dial(newAlertmanager(t, config)), dial(newAlertd(t, config).URL)
	var theirSilence, ourSilence string
	for _, call := range calls {
		want, wantErr := call.make(theirs, theirSilence)
		got, gotErr := call.make(ours, ourSilence)
		if made, ok := want.(*silence.PostSilencesOK); ok && wantErr == nil {
			theirSilence = made.Payload.SilenceID
		}
		if made, ok := got.(*silence.PostSilencesOK); ok && gotErr == nil {
			ourSilence = made.Payload.SilenceID
		}
		if w, g := kindOf(wantErr), kindOf(gotErr); w != g {
			t.Errorf("%s: Alertmanager: %s %v\nalertd: %s %v", call.what, w, wantErr, g, gotErr)
			continue
		}
		if wantErr != nil {
			continue
		}
		for _, err := range invalid(payload(t, got)) {
			t.Errorf("%s: not as the document says: %v", call.what, err)
		}
		if diff := gocmp.Diff(shape(t, begin, want), shape(t, begin, got)); diff != "" {
			t.Errorf("%s: Alertmanager (-), alertd (+)\n%s", call.what, diff)
		}
	}
}

// kindOf is the type of an error, with its status.
func kindOf(err error) string {
	if api, ok := err.(*runtime.APIError); ok { // not in the document
		return fmt.Sprintf("%T %d", err, api.Code)
	}
	return fmt.Sprintf("%T", err)
}

// payload is what an answer brings, as its type has it.
func payload(t *testing.T, answer any) any {
	t.Helper()
	if p, ok := answer.(interface{ GetPayload() any }); ok {
		return p.GetPayload()
	}
	switch a := answer.(type) {
	case *general.GetStatusOK:
		return a.Payload
	case *receiver.GetReceiversOK:
		return a.Payload
	case *alert.GetAlertsOK:
		return a.Payload
	case *alertgroup.GetAlertGroupsOK:
		return a.Payload
	case *silence.GetSilencesOK:
		return a.Payload
	case *silence.GetSilenceOK:
		return a.Payload
	case *silence.PostSilencesOK:
		return a.Payload
	case *silence.DeleteSilenceOK, *alert.PostAlertsOK:
		return nil
	}
	t.Fatalf("what is a %T?", answer)
	return nil
}

// invalid is what the document says against a payload.
func invalid(p any) (all []error) {
	type validator interface{ Validate(strfmt.Registry) error }
	check := func(v validator) {
		if err := v.Validate(strfmt.Default); err != nil {
			all = append(all, err)
		}
	}
	if list, ok := p.([]*models.Receiver); ok {
		for _, r := range list {
			check(r)
		}
	} else if v, ok := p.(validator); ok {
		check(v)
	}
	return all
}

// shape is a payload without what must differ: IDs, the times since a little before the test began, and what the status says of the server.
func shape(t *testing.T, begin time.Time, answer any) any {
	t.Helper()
	text, err := json.Marshal(payload(t, answer))
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	var clean func(v any)
	clean = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				clean(item)
			}
		case map[string]any:
			for key := range v {
				switch key {
				case "id", "silenceID", "updatedAt", "uptime", "original", "peers":
					v[key] = fmt.Sprintf("%T", v[key])
				case "versionInfo", "cluster":
					v[key] = slices.Sorted(maps.Keys(v[key].(map[string]any)))
				case "silencedBy":
					v[key] = len(v[key].([]any))
				case "startsAt", "endsAt":
					if at, err := time.Parse(time.RFC3339, fmt.Sprint(v[key])); err != nil || at.After(begin.Add(-30*time.Second)) && time.Until(at) < 30*time.Second {
						v[key] = "now"
					}
				}
				clean(v[key])
			}
			if names, ok := v["cluster"].([]string); ok { // Alertmanager alone has no name; alertd is a cluster of one
				v["cluster"] = slices.DeleteFunc(names, func(s string) bool { return s == "name" })
			}
		}
	}
	clean(v)
	return v
}

// TestPrometheusNotifier lets what is inside Prometheus, and inside Loki's ruler, send to two daemons at
// once, below a prefix: it fires, sends again, and resolves, with labels and annotations as they may be.
func TestPrometheusNotifier(t *testing.T) {
	type page struct {
		Status string
		Alerts []struct {
			Status              string
			Labels, Annotations map[string]string
			GeneratorURL        string
		}
	}
	var urls []string
	var pages []chan page
	for range 2 {
		got := make(chan page, 100)
		sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var p page
			if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
				t.Error(err)
			}
			got <- p
		}))
		t.Cleanup(sink.Close)
		d := newAlertdBelow(t, "/am", fmt.Sprintf("route: {receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 50ms}\nreceivers: [{name: hook, webhook_configs: [{url: %q}]}]\n", sink.URL))
		urls, pages = append(urls, d.HTTP()), append(pages, got)
	}

	c, err := promconfig.Load(fmt.Sprintf(`
global: {external_labels: {region: eu}}
alerting:
  alert_relabel_configs: [{action: labeldrop, regex: replica}]
  alertmanagers: [{path_prefix: /am, timeout: 30s, static_configs: [{targets: [%q, %q]}]}]
`, urls[0], urls[1]), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	m := notifier.NewManager(&notifier.Options{QueueCapacity: 1000, MaxBatchSize: 2, Registerer: client.NewRegistry(), DrainOnShutdown: true},
		model.UTF8Validation, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err := m.ApplyConfig(c); err != nil {
		t.Fatal(err)
	}
	targets := make(chan map[string][]*targetgroup.Group, 1)
	set := &targetgroup.Group{Source: "0"}
	for _, u := range urls {
		set.Targets = append(set.Targets, model.LabelSet{model.AddressLabel: model.LabelValue(u)})
	}
	for key := range c.AlertingConfig.AlertmanagerConfigs.ToMap() {
		targets <- map[string][]*targetgroup.Group{key: {set}}
	}
	var wg sync.WaitGroup
	wg.Go(func() { m.Run(targets) })
	t.Cleanup(func() { m.Stop(); wg.Wait() }) // before the daemons are stopped that it sends to
	eventually(t, func() bool { return len(m.Alertmanagers()) == 2 })

	begin := time.Now().Add(-time.Minute)
	send := func(ends time.Time) {
		var all []*notifier.Alert
		for _, name := range []string{"Disk", "Down", "Température élevée"} { // more than one batch
			all = append(all, &notifier.Alert{
				Labels:      labels.FromStrings("alertname", name, "a.dotted name", "é", "replica", "1"),
				Annotations: labels.FromStrings("summary", "<b>\u2028 \"is\" full", "ein Schlüssel", "x"), StartsAt: begin, EndsAt: ends, GeneratorURL: "http://p/g?a=1&b=2",
			})
		}
		m.Send(all...)
	}
	expect := func(status string) {
		t.Helper()
		for i, got := range pages {
			names := map[string]bool{}
			for len(names) < 3 {
				select {
				case p := <-got:
					a := p.Alerts[0]
					if p.Status != status || len(p.Alerts) != 1 || a.Labels["region"] != "eu" || a.Labels["a.dotted name"] != "é" || a.Labels["replica"] != "" ||
						a.Annotations["summary"] != "<b>\u2028 \"is\" full" || a.Annotations["ein Schlüssel"] != "x" || a.GeneratorURL != "http://p/g?a=1&b=2" {
						t.Errorf("daemon %d, want %s: %+v", i, status, p)
					}
					names[a.Labels["alertname"]] = true
				case <-time.After(time.Minute):
					t.Fatalf("daemon %d told only of %v\n%s", i, names, log.String())
				}
			}
		}
	}
	send(time.Now().Add(time.Hour))
	expect("firing")
	for range 3 {
		send(time.Now().Add(time.Hour)) // as long as it lasts, every minute
	}
	send(time.Now())
	expect("resolved")
	send(time.Now()) // for a quarter of an hour
	m.Stop()
	wg.Wait() // it sends what it has
	for i, got := range pages {
		if len(got) > 0 {
			t.Errorf("daemon %d told again: %+v", i, <-got)
		}
	}
	if log.Len() > 0 {
		t.Errorf("Prometheus complains: %s", log.String())
	}
}

// TestOtherRequestsOfGuests are those of karma and Grafana that are not for /api/v2/.
func TestOtherRequestsOfGuests(t *testing.T) {
	d := newAlertd(t, "route: {receiver: a}\nreceivers: [{name: a}]\n")
	get := func(path string) (int, string) {
		t.Helper()
		res, err := http.Get(d.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	// Grafana takes a server that answers here for Mimir.
	if status, body := get("/alertmanager/api/v2/status"); status != http.StatusNotFound {
		t.Errorf("Mimir's status: %d %s", status, body)
	}
	// karma reads the metrics for the version, and reads the answer as the newest one if there is none; text that it cannot read
	// would be an error.
	_, body := get("/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if families, err := parser.TextToMetricFamilies(strings.NewReader(body)); err != nil || families["alertmanager_alerts"] == nil || families["alertmanager_build_info"] != nil {
		t.Errorf("metrics: %v, %d families", err, len(families))
	}
}
