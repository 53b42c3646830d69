package web

import (
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"alertd"
)

// AckOptions are what the page needs on which somebody takes an alert. Select and Ack are required.
type AckOptions struct {
	Select func(ctx context.Context, s alertd.Selection) ([]alertd.Alert, error) // those that fire; alertd.ErrNotFound if none does
	Ack    func(ctx context.Context, req alertd.AckRequest) ([]alertd.Fingerprint, error)
	Log    *slog.Logger     // nil: nothing is logged
	Now    func() time.Time // nil: time.Now
}

// maxForm bounds the body of the form, in bytes.
const maxForm = 64 << 10

// ackPage is the page that the button in a message leads to. To look at it changes nothing, so that what follows links by
// itself does no harm: only the form on it does.
type ackPage struct {
	Style   template.CSS
	Icon    template.URL
	Title   string
	Problem string
	Alerts  []ackAlert
	More    int // that are not shown
	Taken   int // how many of all somebody has taken

	Fingerprint, Group string // what the form is about: one of them
	Page               string // of the alert, where it does not fire any more
	By, Why, For       string // what was filled in
	Holds              []hold
}

type ackAlert struct {
	one
	Level, Name string
}

type hold struct {
	For, Text string
	Chosen    bool
}

var holds = []hold{{For: "", Text: "as the route says"}, {For: "30m", Text: "30 minutes"}, {For: "2h", Text: "2 hours"}, {For: "8h", Text: "8 hours"}, {For: "72h", Text: "3 days"}}

// Ack returns the page on which people take an alert (?alert=FINGERPRINT) or all that fire in a group (?group=KEY), and
// give it back. It trusts that requests from other sites' pages do not come through: package api sees to that.
func Ack(o AckOptions) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			http.Error(w, "the form is not well-formed", http.StatusBadRequest)
			return
		}
		v := ackPage{
			Style: template.CSS(style), Icon: icons["warning"], Fingerprint: r.Form.Get("alert"), Group: r.Form.Get("group"), //nolint:gosec // our own file
			By: r.PostForm.Get("by"), Why: r.PostForm.Get("why"), For: r.PostForm.Get("for"), Holds: choose(r.PostForm.Get("for")),
		}
		status := http.StatusOK
		if r.Method == http.MethodPost {
			err := o.take(r.Context(), &v, r.PostForm.Get("do") == "unack", alertd.Client(alertd.FromWeb, r.RemoteAddr, ""))
			if err == nil {
				http.Redirect(w, r, "./", http.StatusSeeOther)
				return
			}
			status, v.Problem = problem(err, o.Log)
		}
		if err := o.fill(r.Context(), &v); err != nil {
			status, v.Problem = problem(err, o.Log)
		}
		render(w, o.Log, "ack.html", status, v)
	})
}

func choose(chosen string) []hold {
	out := make([]hold, len(holds))
	for i, h := range holds {
		h.Chosen = h.For == chosen
		out[i] = h
	}
	return out
}

func (v *ackPage) selection() alertd.Selection {
	return alertd.Selection{Fingerprint: v.Fingerprint, Group: alertd.GroupKey(v.Group)}
}

func (o *AckOptions) take(ctx context.Context, v *ackPage, undo bool, client string) error {
	req := alertd.AckRequest{
		Selection: v.selection(), Undo: undo, Ack: alertd.Ack{By: v.By, Why: v.Why, From: alertd.FromWeb, Client: client},
	}
	if v.For != "" {
		d, err := time.ParseDuration(v.For)
		if err != nil || d <= 0 {
			return alertd.ErrInvalid
		}
		req.Until = o.Now().Add(d)
	}
	_, err := o.Ack(ctx, req)
	return err
}

// problem is what to say of an error, and with which status.
func problem(err error, log *slog.Logger) (int, string) {
	switch {
	case errors.Is(err, alertd.ErrNotFound):
		return http.StatusNotFound, "Nothing of this fires any more, or somebody was faster."
	case errors.Is(err, alertd.ErrInvalid):
		return http.StatusBadRequest, err.Error()
	case errors.Is(err, alertd.ErrStandby):
		return http.StatusServiceUnavailable, "This alertd is standing by; open the page of the one that leads."
	}
	log.Error("acknowledgement failed", "err", err)
	return http.StatusInternalServerError, "It could not be done; alertd's log has the reason."
}

// fill puts the alerts on the page that the form is about.
func (o *AckOptions) fill(ctx context.Context, v *ackPage) error {
	v.Title = "Acknowledge"
	if err := v.selection().Validate(); err != nil {
		return err
	}
	alerts, err := o.Select(ctx, v.selection())
	if err != nil {
		if v.Fingerprint != "" && errors.Is(err, alertd.ErrNotFound) {
			v.Page = "./alerts/" + v.Fingerprint
		}
		return err
	}
	s := seen{now: o.Now(), zone: func(string) *time.Location { return nil }}
	for i := range alerts {
		a := &alerts[i]
		if a.Ack != nil {
			v.Taken++
		}
		if len(v.Alerts) == maxAlerts {
			v.More++
			continue
		}
		shown := ackAlert{one: s.one(a, nil), Level: levelOf(a.Severity()), Name: clip(a.Name(), maxChip)}
		shown.Ack = "" // this is the page that it would lead to
		v.Alerts = append(v.Alerts, shown)
	}
	return nil
}
