package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"alertd"
	"alertd/history"
)

// Alert is an alert as Prometheus's /api/v1/alerts shows it, and what alertd knows besides.
type Alert struct {
	Labels          alertd.Labels `json:"labels"`
	Annotations     alertd.Labels `json:"annotations"`
	State           string        `json:"state"` // pending or firing: Prometheus's words
	ActiveAt        time.Time     `json:"activeAt"`
	KeepFiringSince time.Time     `json:"keepFiringSince,omitzero"`
	Value           string        `json:"value"`

	Fingerprint alertd.Fingerprint `json:"fingerprint"`
	Rule        string             `json:"rule"`  // Rule.ID
	Phase       alertd.State       `json:"phase"` // pending, firing or recovering: alertd's words
	Severity    alertd.Severity    `json:"severity"`
	Service     string             `json:"service"`
	Summary     string             `json:"summary"`
	FiredAt     time.Time          `json:"firedAt,omitzero"`
	RunbookURL  string             `json:"runbookURL"`
	Dashboards  []alertd.Link      `json:"dashboards,omitempty"`
	TraceURL    string             `json:"traceURL"`
	TraceID     string             `json:"traceID"`
	TraceNote   string             `json:"traceNote,omitempty"` // what the trace shows: "took 5.2 s"
	Ack         *alertd.Ack        `json:"ack,omitempty"`       // who has taken it
	Changes     int                `json:"changes,omitempty"`   // how often it fired or ended within half an hour; 0: it does not flap
}

func alertOf(a *alertd.Alert) Alert {
	out := Alert{
		Labels: a.Labels, Annotations: a.Annotations, State: string(a.State), ActiveAt: a.ActiveAt,
		Value:       strconv.FormatFloat(float64(a.Measured()), 'e', -1, 64),
		Fingerprint: a.Fingerprint, Rule: a.Rule, Phase: a.State, Severity: a.Severity(), Service: a.Service(), Summary: a.Summary(),
		FiredAt: a.FiredAt, RunbookURL: a.RunbookURL, Dashboards: a.Dashboards, TraceURL: a.TraceURL, TraceID: a.Trace.TraceID, Ack: a.Ack,
		TraceNote: a.TraceNote, Changes: a.Changes,
	}
	if a.State.Active() { // Prometheus has no other word for it
		out.State = string(alertd.Firing)
	}
	if a.State == alertd.Recovering {
		out.KeepFiringSince = a.GoneAt
	}
	return out
}

// alerts shows those that are active. As in Prometheus, what is over is not in the list: history has it.
func (a *api) alerts(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	all, err := a.o.State.Alerts(r.Context())
	if err != nil {
		return err
	}
	shown := []Alert{}
	for i := range all {
		if all[i].State == alertd.Pending || all[i].State.Active() {
			shown = append(shown, alertOf(&all[i]))
		}
	}
	return success(w, map[string]any{"alerts": shown})
}

// history shows transitions, newest first.
func (a *api) history(w http.ResponseWriter, r *http.Request) error {
	f, err := a.filter(r, transitionStates)
	if err != nil {
		return err
	}
	if a.o.History == nil {
		return errNoHistory
	}
	page, err := a.o.History.Transitions(r.Context(), f)
	if err != nil {
		return err
	}
	page.Transitions = nonNil(page.Transitions)
	return success(w, page)
}

// notifications shows what was planned and what became of it, newest first.
func (a *api) notifications(w http.ResponseWriter, r *http.Request) error {
	f, err := a.filter(r, notificationStates)
	if err != nil {
		return err
	}
	if a.o.History == nil {
		return errNoHistory
	}
	// One more than asked for tells whether there is a next page.
	limit := f.Limit
	f.Limit = min(limit+1, history.MaxLimit)
	rows, err := a.o.History.Notifications(r.Context(), f)
	if err != nil {
		return err
	}
	next := ""
	if len(rows) > limit || len(rows) == history.MaxLimit {
		rows = rows[:min(limit, len(rows))]
		next = rows[len(rows)-1].Cursor
	}
	return success(w, map[string]any{"notifications": nonNil(rows), "next": next})
}

var errNoHistory = unavailable("there is no history; alertd's log says why, /health/ready whether it is back")

// deadLetters shows messages that could not be decoded, newest first.
func (a *api) deadLetters(w http.ResponseWriter, r *http.Request) error {
	p, err := parameters(r, "limit")
	if err != nil {
		return err
	}
	limit, err := limitOf(p["limit"])
	if err != nil {
		return err
	}
	if a.o.DeadLetters == nil {
		return unavailable("dead letters cannot be read here; alertd's log has each of them")
	}
	letters, err := a.o.DeadLetters(r.Context(), limit)
	if err != nil {
		return err
	}
	return success(w, map[string]any{"dead_letters": nonNil(letters)})
}

func (a *api) status(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	var st Status
	if a.o.Status != nil {
		st = a.o.Status(r.Context())
	}
	st.Version, st.ExternalURL = a.o.Version, a.o.ExternalURL
	if a.o.History != nil {
		seq, err := a.o.History.LastSeq(r.Context())
		if err != nil {
			return err
		}
		st.HistorySeq = seq
	}
	return success(w, st)
}

// reload asks for the files to be read again. Where one is bad, nothing changes, and the answer says which. It is no JSON, as
// that of Alertmanager and Prometheus is none.
func (a *api) reload(w http.ResponseWriter, r *http.Request) error {
	if a.o.Reload == nil {
		return unavailable("this alertd cannot reload; restart it")
	}
	if err := a.o.Reload(r.Context()); err != nil {
		if r.Context().Err() != nil {
			return err
		}
		http.Error(w, "failed to reload config: nothing was changed: "+err.Error(), http.StatusInternalServerError)
	}
	return nil
}

// unknown answers what no route fits, in the envelope that clients of /api read. known tells whether a path can be read
// with GET.
func unknown(known func(*http.Request) bool) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet && r.Method != http.MethodHead && known(r) {
			w.Header().Set("Allow", "GET, HEAD")
			if r.Method == http.MethodPost && r.URL.Path == "/api/v1/alerts" {
				return &Error{http.StatusGone, "gone", "Alertmanager's API v1 is gone; post alerts to /api/v2/alerts (in Loki: -ruler.alertmanager-use-v2)"}
			}
			return &Error{http.StatusMethodNotAllowed, "method_not_allowed", "use GET: under /api/v1 only silences and acknowledgements can be changed; queries, series and labels may be asked for with POST"}
		}
		for _, p := range elsewhere {
			if r.URL.Path == "/api/v1/"+p.path || strings.HasPrefix(r.URL.Path, "/api/v1/"+p.path+"/") {
				return &Error{http.StatusNotFound, "not_found", p.text}
			}
		}
		return &Error{
			http.StatusNotFound, "not_found",
			"no such path; there are /api/v1/alerts, /api/v1/queue, /api/v1/history, /api/v1/why, /api/v1/notifications, /api/v1/deadletters, /api/v1/silences, " +
				"/api/v1/ack, /api/v1/unack and /api/v1/status, and of Prometheus's API rules, query, query_range, query_exemplars, series, labels, " +
				"label/NAME/values, metadata and status/buildinfo",
		}
	}
}

// elsewhere says of those paths of Prometheus that alertd has nothing for where what they are about is found.
var elsewhere = []struct{ path, text string }{
	{"targets", "alertd scrapes nothing: services publish on NATS; /api/v1/metadata lists what has arrived"},
	{"scrape_pools", "alertd scrapes nothing: services publish on NATS"},
	{"alertmanagers", "alertd is its own Alertmanager: /api/v2/ answers as one"},
	{"write", "alertd takes no remote write; publish on NATS, or start it with --otlp-listen and send OTLP there"},
	{"otlp", "OTLP is taken at an address of its own; start alertd with --otlp-listen"},
	{"read", "alertd keeps no more than its rules look back on, and is no storage to read from; ask /api/v1/query_range"},
	{"status/config", "configurations hold secrets and are not shown; /api/v1/status has the hash of the one that counts"},
	{"status/flags", "flags are not shown; /api/v1/status says how the daemon is"},
	{"status/runtimeinfo", "see /api/v1/status, and /metrics"},
	{"status/tsdb", "alertd has no TSDB; /metrics has how many series are in the window"},
	{"status/walreplay", "alertd has no TSDB; /health/ready says whether it is still reading"},
	{"format_query", "alertd does not format expressions; promtool promql format does"},
	{"parse_query", "alertd does not show how an expression is parsed; alertd check --explain says how it is evaluated"},
	{"admin", "there is nothing to administer: samples leave the window by themselves"},
}

// nonNil makes an empty list "[]" in JSON, never null.
func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
