package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"alertd"
	"alertd/history"
	"alertd/rules"
)

// State is what alertd believes now. The values are copies that nobody changes any more.
type State interface {
	// Alerts are those that are pending, firing or recovering, and those that resolved a short while ago.
	Alerts(ctx context.Context) ([]alertd.Alert, error)
	// Held are the alerts that wait in a group, the first due first.
	Held(ctx context.Context) ([]alertd.Held, error)
	// Drafts are the digests that would leave if what calendars hold left now, the first due first.
	Drafts(ctx context.Context) ([]alertd.Draft, error)
	// Services are the last health reports, one per service.
	Services(ctx context.Context) ([]alertd.Health, error)
}

// History is what alertd remembers. [history.Store] is one.
type History interface {
	Transitions(ctx context.Context, f history.Filter) (history.Page, error)
	Notifications(ctx context.Context, f history.Filter) ([]history.NotificationRow, error)
	Why(ctx context.Context, q history.Question) ([]history.Chain, error)
	LastSeq(ctx context.Context) (uint64, error)
}

// HealthFunc says how alertd itself is.
type HealthFunc func(ctx context.Context) alertd.Health

// Status is what /api/v1/status tells about the daemon.
type Status struct {
	Version       string    `json:"version"`
	ConfigVersion string    `json:"config_version"` // hash of the files that decide now
	Node          string    `json:"node"`
	ExternalURL   string    `json:"external_url"`
	StartedAt     time.Time `json:"started_at,omitzero"`
	Checkpoint    uint64    `json:"checkpoint"`  // every event up to this sequence of EVENTS is evaluated
	JournalSeq    uint64    `json:"journal_seq"` // the last commit
	HistorySeq    uint64    `json:"history_seq"` // the last commit that history knows
}

// Options are the parts that the API speaks for. State is required. A part that is nil answers 503 or, where
// it is a page of its own, 404.
type Options struct {
	State       State
	History     History
	Ready       HealthFunc                                                        // nil: always healthy
	Status      func(ctx context.Context) Status                                  // Version, ExternalURL and HistorySeq are filled in
	DeadLetters func(ctx context.Context, limit int) ([]alertd.DeadLetter, error) // newest first
	Rules       func(ctx context.Context) ([]rules.GroupStatus, error)            // in file order
	Series      Series                                                            // for /api/v1/query and its kin
	Silences    Silences                                                          // for /api/v1/silences
	Reload      func(ctx context.Context) error                                   // its error is shown to whoever asked

	// Ack lets somebody take alerts, or gives them back, and returns which. Its errors are alertd.ErrNotFound,
	// alertd.ErrInvalid and alertd.ErrStandby, or its own.
	Ack func(ctx context.Context, req alertd.AckRequest) ([]alertd.Fingerprint, error)
	// Release lets go what is held, and returns what that is. Its errors are those of Ack.
	Release func(ctx context.Context, req alertd.ReleaseRequest) (alertd.LetGo, error)

	// Text is a notification as the console shows it; nil: nobody can say.
	Text func(n alertd.Notification) string

	Metrics      http.Handler // GET /metrics
	V2           http.Handler // everything below /api/v2/, see package amapi
	Runbooks     http.Handler // GET /runbooks/ and /runbooks/{name}
	Dashboard    http.Handler // GET /
	Alert        http.Handler // GET /alerts/{fingerprint}: the page of one alert
	AckPage      http.Handler // GET and POST /ack
	SilencePages http.Handler // everything below /silences/: the list, the form, and what they post

	Log         *slog.Logger // nil: nothing is logged
	ExternalURL string
	Version     string
	Now         func() time.Time // nil: time.Now
}

// New returns the handler of all routes.
func New(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &api{o, newQueries(o.Series, o.Now)}

	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /health/live":           a.live,
		"GET /health/ready":          a.ready,
		"GET /-/healthy":             a.plainHealthy,
		"GET /-/ready":               a.plainReady,
		"POST /-/reload":             a.reload,
		"GET /api/v1/alerts":         a.alerts,
		"GET /api/v1/queue":          a.queue,
		"GET /api/v1/history":        a.history,
		"GET /api/v1/why":            a.why,
		"GET /api/v1/notifications":  a.notifications,
		"GET /api/v1/deadletters":    a.deadLetters,
		"GET /api/v1/rules":          a.rules,
		"GET /api/v1/status":         a.status,
		"POST /api/v1/queue/release": a.release,

		"POST /api/v1/ack":   a.ack,
		"POST /api/v1/unack": a.unack,

		"GET /api/v1/silences":          a.silences,
		"POST /api/v1/silences":         a.makeSilence,
		"POST /api/v1/silences/preview": a.previewSilence,
		"GET /api/v1/silences/{id}":     a.silence,
		"DELETE /api/v1/silences/{id}":  a.expireSilence,

		"GET /api/v1/query":               a.queries.instant,
		"POST /api/v1/query":              a.queries.instant,
		"GET /api/v1/query_range":         a.queries.overRange,
		"POST /api/v1/query_range":        a.queries.overRange,
		"GET /api/v1/series":              a.queries.list,
		"POST /api/v1/series":             a.queries.list,
		"GET /api/v1/labels":              a.queries.labelNames,
		"POST /api/v1/labels":             a.queries.labelNames,
		"GET /api/v1/label/{name}/values": a.queries.labelValues,
		"GET /api/v1/query_exemplars":     a.queries.exemplars,
		"POST /api/v1/query_exemplars":    a.queries.exemplars,
		"GET /api/v1/metadata":            a.queries.metadata,
		"GET /api/v1/status/buildinfo":    a.buildInfo,
	} {
		mux.Handle(pattern, a.wrap(h))
	}
	mux.Handle("/api/", a.wrap(unknown(func(r *http.Request) bool {
		get := *r
		get.Method = http.MethodGet
		_, pattern := mux.Handler(&get)
		return pattern != "/api/"
	})))
	for pattern, h := range map[string]http.Handler{
		"GET /{$}":             o.Dashboard,
		"GET /ack":             o.AckPage,
		"POST /ack":            o.AckPage,
		"GET /metrics":         o.Metrics,
		"/api/v2/":             o.V2,
		"GET /runbooks/{$}":    o.Runbooks,
		"GET /runbooks/{name}": o.Runbooks,

		"GET /alerts/{fingerprint}": o.Alert,
		"/silences/":                o.SilencePages,
	} {
		if h != nil {
			mux.Handle(pattern, h)
		}
	}
	// Browsers may not make a reader of some other page reload our files, or take an alert.
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(a.wrap(func(http.ResponseWriter, *http.Request) error {
		return &Error{http.StatusForbidden, "forbidden", "this request comes from another site's page; send it from alertd's own, or without a browser"}
	}))
	return secured(crossOrigin.Handler(mux))
}

type api struct {
	o       Options
	queries *queries
}

// secured sets the headers that every answer has. The dashboard replaces the policy by its own.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
