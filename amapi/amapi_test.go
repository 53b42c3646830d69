package amapi_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/amapi"
)

// now is when everything happens that is compared with a golden body.
var now = time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)

// fake is a State that knows no routing: every alert goes to one team, grouped by its name.
type fake struct {
	now func() time.Time

	mu       sync.Mutex
	posted   [][]alertd.Posted
	alerts   map[alertd.Fingerprint]alertd.Standing
	silences map[string]alertd.Silence
	by       alertd.Actor // who changed a silence last
	err      error        // what all fail with
}

func newFake(now func() time.Time) *fake {
	return &fake{now: now, alerts: map[alertd.Fingerprint]alertd.Standing{}, silences: map[string]alertd.Silence{}}
}

// lastActor returns who changed a silence last.
func (f *fake) lastActor() alertd.Actor {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.by
}

func (f *fake) Post(_ context.Context, alerts []alertd.Posted) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	f.posted = append(f.posted, alerts)
	at := f.now().UTC()
	for _, p := range alerts {
		fp := alertd.FingerprintOf(p.Labels)
		if !p.EndsAt.IsZero() && !p.EndsAt.After(at) {
			delete(f.alerts, fp)
			continue
		}
		s := alertd.Standing{Receivers: []string{"team"}, UpdatedAt: at}
		s.Fingerprint, s.Labels, s.Annotations, s.GeneratorURL = fp, p.Labels, p.Annotations, p.GeneratorURL
		s.State, s.FiredAt, s.Expires = alertd.Firing, p.StartsAt, p.EndsAt
		if s.FiredAt.IsZero() || s.FiredAt.After(at) {
			s.FiredAt = at
		}
		f.alerts[fp] = s
	}
	return nil
}

func (f *fake) Standing(context.Context) ([]alertd.Standing, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := slices.Collect(maps.Values(f.alerts)) // in no order: the API has one
	for i := range all {
		for _, s := range f.silences {
			m, err := alertd.Compile(s.Matchers)
			if err == nil && s.State(f.now()) == alertd.SilenceActive && m.Matches(all[i].Labels) {
				all[i].SilencedBy = append(all[i].SilencedBy, s.ID)
			}
		}
		slices.Sort(all[i].SilencedBy)
	}
	return all, f.err
}

func (f *fake) Groups(ctx context.Context) ([]alertd.GroupView, error) {
	all, err := f.Standing(ctx)
	groups := map[string]alertd.GroupView{}
	for _, s := range all {
		for _, receiver := range s.Receivers {
			g := groups[receiver+s.Name()]
			g.Key, g.Receiver = alertd.GroupKey("{}:"+s.Name()), receiver
			g.Labels = s.Labels.MatchLabels(true, "alertname")
			g.Alerts = append(g.Alerts, s)
			groups[receiver+s.Name()] = g
		}
	}
	return slices.Collect(maps.Values(groups)), err
}

func (f *fake) Silences(context.Context) (all []alertd.SilenceView, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.silences {
		all = append(all, alertd.SilenceView{Silence: s, State: s.State(f.now())})
	}
	return all, f.err
}

// SetSilence has enough of the rules for amtool.
func (f *fake) SetSilence(_ context.Context, s alertd.Silence, by alertd.Actor) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return "", f.err
	}
	at := f.now().UTC().Truncate(time.Millisecond) // what is shown comes back in updates
	old, known := f.silences[s.ID]
	switch {
	case s.ID != "" && !known:
		return "", fmt.Errorf("silence %q: %w", s.ID, alertd.ErrNotFound)
	case known && old.State(at) == alertd.SilenceActive && old.StartsAt.Equal(s.StartsAt):
	default:
		if known && old.State(at) != alertd.SilenceExpired {
			old.EndsAt = at
			f.silences[old.ID] = old
		}
		s.ID = fmt.Sprintf("00000000-0000-4000-8000-%012d", len(f.silences)+1)
	}
	if s.StartsAt.Before(at) && !(known && s.ID == old.ID) {
		s.StartsAt = at
	}
	s.UpdatedAt = at
	f.by = by
	f.silences[s.ID] = s
	return s.ID, nil
}

func (f *fake) ExpireSilence(_ context.Context, id string, by alertd.Actor) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.silences[id]
	if !ok {
		return cmp.Or(f.err, fmt.Errorf("silence %q: %w", id, alertd.ErrNotFound))
	}
	s.EndsAt = f.now().UTC()
	f.by = by
	f.silences[id] = s
	return f.err
}

func (f *fake) Receivers(context.Context) []amapi.Receiver {
	return []amapi.Receiver{
		{Name: "team", Labels: labels.FromStrings("name", "team", "owner", "x")}, {Name: "other", Labels: labels.FromStrings("name", "other")},
	}
}

func (f *fake) RoutingYAML(context.Context) string { return "route:\n  receiver: team\n" }

func (f *fake) Peers(context.Context) []amapi.Peer {
	return []amapi.Peer{{Name: "b", Address: "192.0.2.2:9093"}, {Name: "a", Address: "192.0.2.1:9093"}}
}

// a world is an API over a fake.
type world struct {
	t *testing.T
	*fake
	http.Handler
}

func newWorld(t *testing.T) *world {
	clock := func() time.Time { return now }
	f := newFake(clock)
	return &world{t, f, amapi.New(amapi.Options{State: f, Version: "1.2.3", StartedAt: now.Add(-time.Hour), Now: clock})}
}

// ask returns status and body of an answer. A body that is sent is JSON.
func (w *world) ask(method, path, body string) (int, string) {
	w.t.Helper()
	res := w.do(method, path, body)
	if got := res.Header().Get("Cache-Control"); got != "no-store" {
		w.t.Errorf("%s %s: Cache-Control %q", method, path, got)
	}
	if got := res.Header().Get("Access-Control-Allow-Origin"); got != "" {
		w.t.Errorf("%s %s: lets pages of other sites read: %q", method, path, got)
	}
	text := res.Body.String()
	if text != "" {
		if got := res.Header().Get("Content-Type"); got != "application/json" {
			w.t.Errorf("%s %s: Content-Type %q", method, path, got)
		}
		if !json.Valid([]byte(text)) {
			w.t.Errorf("%s %s: no JSON: %s", method, path, text)
		}
	}
	return res.Code, strings.TrimSuffix(text, "\n")
}

func (w *world) do(method, path, body string) *httptest.ResponseRecorder {
	w.t.Helper()
	var in io.Reader = http.NoBody
	if body != "" {
		in = strings.NewReader(body)
	}
	req := httptest.NewRequestWithContext(w.t.Context(), method, path, in)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	res := httptest.NewRecorder()
	w.ServeHTTP(res, req)
	return res
}

// add puts an alert into the state. Labels and annotations are pairs.
func (w *world) add(change func(*alertd.Standing), pairs ...string) {
	ls := alertd.Labels{}
	b := newBuilder()
	for i := 0; i+1 < len(pairs); i += 2 {
		b.Add(pairs[i], pairs[i+1])
	}
	b.Sort()
	ls = b.Labels()
	s := alertd.Standing{Receivers: []string{"team"}, UpdatedAt: now}
	s.Fingerprint, s.Labels, s.State, s.FiredAt = alertd.FingerprintOf(ls), ls, alertd.Firing, now.Add(-time.Minute)
	if change != nil {
		change(&s)
	}
	w.alerts[s.Fingerprint] = s
}

// names returns the alert names in a list of alerts or groups, in its order.
func names(t *testing.T, body string) string {
	t.Helper()
	type alert struct{ Labels map[string]string }
	var list []struct {
		alert
		Alerts []alert
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	var out []string
	for _, item := range list {
		if item.Alerts == nil {
			out = append(out, item.Labels["alertname"])
		}
		for _, a := range item.Alerts {
			out = append(out, a.Labels["alertname"]+a.Labels["instance"])
		}
	}
	return strings.Join(out, " ")
}
