package amapi

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"alertd"
)

// State is what the API reads and whom it tells. The slices that it returns belong to whoever asked. Errors that are an
// [alertd.ErrInvalid], [alertd.ErrNotFound] or [alertd.ErrStandby] are shown to whoever asked; all others are logged.
type State interface {
	// Post brings alerts that somebody else has judged. When it returns nil, they outlive the process.
	Post(ctx context.Context, alerts []alertd.Posted) error
	// Standing are the alerts that fire, and why each is told or not. Those that resolved may be among them.
	Standing(ctx context.Context) ([]alertd.Standing, error)
	// Groups are the groups of the same alerts.
	Groups(ctx context.Context) ([]alertd.GroupView, error)

	// Silences are all silences, those that expired and are still kept included.
	Silences(ctx context.Context) ([]alertd.SilenceView, error)
	// SetSilence makes a silence, or changes the one with this ID, and returns the ID under which it is known now: not
	// every change keeps it.
	SetSilence(ctx context.Context, s alertd.Silence, by alertd.Actor) (id string, err error)
	// ExpireSilence ends a silence now. Ending one that is over is no error.
	ExpireSilence(ctx context.Context, id string, by alertd.Actor) error

	// Receivers are all receivers, sorted by their names.
	Receivers(ctx context.Context) []Receiver
	// RoutingYAML is the routing in force, with its secrets masked.
	RoutingYAML(ctx context.Context) string
	// Peers are the nodes that work together, this one included and first.
	Peers(ctx context.Context) []Peer
}

// Receiver is a name that routes point at, and the labels by which it can be asked for; "name" is always among them.
type Receiver struct {
	Name   string        `json:"name"`
	Labels alertd.Labels `json:"labels"`
}

// Peer is a node.
type Peer struct {
	Name    string `json:"name"`
	Address string `json:"address"` // HOST:PORT
}

// Options are the parts of the API. State is required.
type Options struct {
	State     State
	Version   string
	StartedAt time.Time
	Invalid   func(alerts int) // counts what was posted and makes no sense; nil: nobody does
	Log       *slog.Logger     // nil: nothing is logged
	Now       func() time.Time // nil: time.Now
}

// New returns the handler of everything below /api/v2/.
func New(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Invalid == nil {
		o.Invalid = func(int) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &api{o: o, reads: make(chan struct{}, max(runtime.GOMAXPROCS(0), 8)), build: buildOf(o.Version)}
	mux := http.NewServeMux()
	for path, methods := range map[string]map[string]handler{
		"/api/v2/alerts":        {"GET": a.reading(a.getAlerts), "POST": a.postAlerts},
		"/api/v2/alerts/groups": {"GET": a.reading(a.getGroups)},
		"/api/v2/silences":      {"GET": a.reading(a.getSilences), "POST": a.postSilence},
		"/api/v2/silence/{id}":  {"GET": a.reading(a.getSilence), "DELETE": a.deleteSilence},
		"/api/v2/receivers":     {"GET": a.reading(a.getReceivers)},
		"/api/v2/status":        {"GET": a.reading(a.getStatus)},
	} {
		h := a.wrap(byMethod(methods))
		mux.Handle(path, h)
		mux.Handle(path+"/{$}", h) // Alertmanager overlooks a slash at the end, and clients write it
	}
	mux.Handle("/api/v2/", a.wrap(notThere))
	return mux
}

type api struct {
	o     Options
	reads chan struct{} // a place for every answer that is being made
	build versionInfo
}

// reading bounds how many answers are made at once, for each may be as large as everything that fires. As many as in
// Alertmanager; posts are not among them, so that readers never keep an alert out.
func (a *api) reading(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		select {
		case a.reads <- struct{}{}:
			defer func() { <-a.reads }()
			return h(w, r)
		default:
			return problem(http.StatusServiceUnavailable, "%d other GET requests are being answered; try again later", cap(a.reads))
		}
	}
}
