package conformance

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	amapiv2 "github.com/prometheus/alertmanager/api/v2"
	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/matcher/compat"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	amtemplate "github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/timeinterval"
	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"alertd/app"
)

// newAlertmanager is Alertmanager as a library, which tells nobody, and returns its URL. It is put together as its own
// program does it: the program itself cannot be imported, since its module comes without the pages that it embeds.
func newAlertmanager(t *testing.T, config string) string {
	t.Helper()
	utf8Names()
	c, err := amconfig.Load(config)
	if err != nil {
		t.Fatalf("Alertmanager does not take it: %v\n%s", err, config)
	}
	log, registry, flags := slog.New(slog.DiscardHandler), client.NewRegistry(), featurecontrol.NoopFlags{}
	var recorder eventrecorder.Recorder
	silences, err := silence.New(silence.Options{Retention: time.Hour, Logger: log, Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	silencer := silence.NewSilencer(silences, log, recorder)
	alerts, err := mem.NewAlerts(context.Background(), time.Hour, 0, silencer, log, recorder, registry, flags)
	if err != nil {
		t.Fatal(err)
	}
	templates, err := amtemplate.FromGlobs(nil)
	if err != nil {
		t.Fatal(err)
	}
	templates.ExternalURL = &url.URL{Scheme: "http", Host: "am.example"}
	intervals := map[string][]timeinterval.TimeInterval{}
	for _, i := range c.TimeIntervals {
		intervals[i.Name] = i.TimeIntervals
	}
	groups, metrics := marker.NewGroupMarker(), notify.NewMetrics(registry, flags)
	muter := timeinterval.NewIntervener(intervals)
	inhibitor := inhibit.NewInhibitor(alerts, c.InhibitRules, log, recorder)
	dispatcher := dispatch.NewDispatcher(
		alerts, dispatch.NewRoute(c.Route, nil),
		notify.MultiStage{notify.NewTimeActiveStage(muter, groups, metrics), notify.NewTimeMuteStage(muter, groups, metrics)},
		groups, func(d time.Duration) time.Duration { return d }, time.Hour, nil, log, recorder,
		dispatch.NewDispatcherMetrics(true, registry, flags), templates,
	)
	api, err := amapiv2.NewAPI(alerts, dispatcher.Groups, groups.Muted, silences, nil, log, registry)
	if err != nil {
		t.Fatal(err)
	}
	api.Update(c, func(ctx context.Context, ls model.LabelSet) {
		inhibitor.Mutes(ctx, ls)
		silencer.Mutes(ctx, ls)
	})
	go inhibitor.Run()
	inhibitor.WaitForLoading()
	go dispatcher.Run(time.Now())
	dispatcher.WaitForLoading()
	server := httptest.NewServer(api.Handler)
	t.Cleanup(func() {
		server.Close()
		dispatcher.Stop()
		inhibitor.Stop()
		alerts.Close()
	})
	return server.URL
}

// utf8Names lets Alertmanager's packages read names and matchers as its program does unless it is told otherwise. They keep
// that in a variable.
var utf8Names = sync.OnceFunc(func() { compat.InitFromFlags(slog.New(slog.DiscardHandler), featurecontrol.NoopFlags{}) })

// alertdServer is the daemon, whose routing can be changed.
type alertdServer struct {
	*app.App
	URL   string
	rules fstest.MapFS
}

// newAlertd starts the daemon with a routing and without rules.
func newAlertd(t *testing.T, routing string) *alertdServer {
	t.Helper()
	return newAlertdBelow(t, "", routing)
}

// newAlertdBelow has everything below a path.
func newAlertdBelow(t *testing.T, prefix, routing string) *alertdServer {
	t.Helper()
	d := &alertdServer{rules: fstest.MapFS{"routing.yaml": {Data: []byte(routing)}}}
	var err error
	d.App, err = app.New(t.Context(), app.Options{
		Rules: d.rules, Data: t.TempDir(), Listen: "127.0.0.1:0", RoutePrefix: prefix, NATSListen: "127.0.0.1:0", Console: io.Discard, Node: "alertd",
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	d.URL = "http://" + d.HTTP() + prefix
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := d.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	eventually(t, func() bool {
		res, err := http.Get(d.URL + "/api/v2/alerts") // as soon as it leads
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return d
}

// reroute puts another routing in force.
func (d *alertdServer) reroute(t *testing.T, routing string) {
	t.Helper()
	d.rules["routing.yaml"] = &fstest.MapFile{Data: []byte(routing)}
	if err := d.Reload(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, routing)
	}
}

// eventually waits until what is asked is so.
func eventually(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came to be")
		}
	}
}
