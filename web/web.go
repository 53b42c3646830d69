package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"alertd"
	"alertd/history"
	"alertd/runbooks"
	"alertd/tracectx"
)

// State is what alertd believes now. The values are copies that nobody changes any more.
type State interface {
	// Alerts are those that are pending, firing or recovering, and those that resolved a short while ago.
	Alerts(ctx context.Context) ([]alertd.Alert, error)
	// Held are the alerts that wait in a group.
	Held(ctx context.Context) ([]alertd.Held, error)
	// Drafts are the digests that would leave if what calendars hold left now.
	Drafts(ctx context.Context) ([]alertd.Draft, error)
	// Services are the last health reports, one per service.
	Services(ctx context.Context) ([]alertd.Health, error)
	// Groups are the alerts that fire as the routing groups them, and what hides them.
	Groups(ctx context.Context) ([]alertd.GroupView, error)
}

// History is what alertd remembers. [history.Store] is one.
type History interface {
	Transitions(ctx context.Context, f history.Filter) (history.Page, error)
	Why(ctx context.Context, q history.Question) ([]history.Chain, error)
	Firings(ctx context.Context, f history.Filter) (firings []history.Firing, total int, err error)
	Message(ctx context.Context, id string) (history.Message, error)
}

// Options are what the dashboard shows. State is required.
type Options struct {
	State           State
	History         History                                 // nil: the page says that there is none
	Ready           func(ctx context.Context) alertd.Health // alertd's own health; nil: not shown
	Zone            func(calendar string) *time.Location    // in which a calendar's times are told, "" for all others; nil, or a nil answer: UTC
	Silences        Silences                                // nil: there are no pages about them, and the dashboard shows none
	Runbooks        func() *runbooks.Index                  // asked for each request, so that a reload shows at once; nil: none
	RunbookProblems func() []string                         // what the last review of runbooks found; nil: nobody looks
	// Trace fetches what the tracing back-end has of a trace, within a few seconds; nil: nobody can be asked. The error is
	// [tracectx.ErrNoTrace] if the back-end does not have it.
	Trace   func(ctx context.Context, ref alertd.TraceRef, at time.Time) (tracectx.Trace, error)
	Version string
	Log     *slog.Logger     // nil: nothing is logged
	Now     func() time.Time // nil: time.Now
}

//go:embed *.html
var files embed.FS

//go:embed style.css
var style string

//go:embed fragment.js
var fragment string

var pages = template.Must(template.New("").ParseFS(files, "*.html"))

// policy lets a page use its own style sheet, its own script, which asks nobody but us, its icon and forms of our own, and nothing
// else: no other script, no frame or picture, whatever a label says.
var policy = func() string {
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; style-src " + hash(style) + "; script-src " + hash(fragment) +
		"; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
}()

// refresh is how often a page that nobody paused asks again.
const refresh = 15 * time.Second

// New returns the dashboard. ?refresh=off holds it still. What it shows of the alerts can be narrowed as in Alertmanager, by
// filter=MATCHERS, receiver=REGEXP and silenced, inhibited or active=false, and by notification=ID to what one message was about.
func New(o Options) http.Handler {
	o.defaults()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := readFilter(r.URL.Query())
		status := http.StatusOK
		if f.Problem != "" {
			status = http.StatusBadRequest
		}
		render(w, o.Log, "page.html", status, o.look(r.Context(), f))
	})
}

func (o *Options) defaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Zone == nil {
		o.Zone = func(string) *time.Location { return nil }
	}
}

// render writes a page, whole or not at all.
func render(w http.ResponseWriter, log *slog.Logger, name string, status int, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		log.Error("page failed", "page", name, "err", err)
		http.Error(w, "the page could not be rendered; alertd's log has the reason", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the reader went away: nobody to tell
}

// look asks every source once. One that fails is said on the page; the others still show.
func (o *Options) look(ctx context.Context, f *filter) view {
	var s seen
	s.filter = f
	s.now = o.Now()
	s.zone = o.Zone
	note := func(what string, err error) {
		if err != nil {
			o.Log.Error("dashboard: a source failed", "source", what, "err", err)
			s.blind = append(s.blind, what)
		}
	}
	var err error
	s.alerts, err = o.State.Alerts(ctx)
	note("the alerts", err)
	s.held, err = o.State.Held(ctx)
	note("what waits", err)
	if slices.ContainsFunc(s.held, func(h alertd.Held) bool { return h.Calendar != "" }) && len(s.held) <= maxPreviewed {
		s.drafts, err = o.State.Drafts(ctx)
		note("the next digest", err)
	}
	s.services, err = o.State.Services(ctx)
	note("the services' health", err)
	if o.History == nil {
		s.blind = append(s.blind, "the history")
	} else {
		page, err := o.History.Transitions(ctx, history.Filter{Limit: maxTransitions})
		note("the history", err)
		s.transitions = page.Transitions
		page, err = o.History.Transitions(ctx, history.Filter{
			Severity: string(alertd.Info), State: string(alertd.Firing), Since: s.now.Add(-reviewed), Limit: maxReview,
		})
		note("info to review", err)
		s.info = page.Transitions
	}
	if o.Silences != nil {
		s.silences, err = o.Silences.Silences(ctx)
		note("the silences", err)
	}
	if o.Ready != nil {
		h := o.Ready(ctx)
		s.self = &h
	}
	note("who is told", f.resolve(ctx, o, &s))
	v := s.view()
	v.Version = o.Version
	return v
}
