package alertd

import (
	"fmt"
	"log/slog"
	"time"
)

// Ack says that somebody has taken an alert. It is told as before that the alert fires and that it is over, but nobody
// is reminded, paged again or called in: that is what an ack stops. It holds for one alert and one episode of it: a new
// alert in the same group, also the same trouble with a higher severity, is nobody's yet.
type Ack struct {
	By    string    `json:"by"`             // who: a name, at most [MaxAckBy] bytes
	From  AckSource `json:"from"`           // by which way it came
	Why   string    `json:"why,omitempty"`  // for people, at most [MaxAckWhy] bytes
	At    time.Time `json:"at"`             // when, daemon's clock
	Until time.Time `json:"until,omitzero"` // when it ends by itself; zero: when the alert does

	// Client is where it came from, see [Client], at most [MaxClient] runes. By is what somebody says of themselves; this is not.
	Client string `json:"client,omitempty"`
}

// LogValue is bounded and holds no secret.
func (a Ack) LogValue() slog.Value {
	return slog.GroupValue(slog.String("by", a.By), slog.String("from", string(a.From)), slog.String("why", a.Why), slog.String("client", a.Client))
}

// AckSource is the way by which an ack came.
type AckSource string

// The ways.
const (
	FromCLI   AckSource = "cli"
	FromWeb   AckSource = "web"
	FromAPI   AckSource = "api"
	FromSlack AckSource = "slack"
)

// Bounds of what people write, in bytes.
const (
	MaxAckBy  = 100
	MaxAckWhy = 500
)

// MaxClient bounds what is kept of a [Client], in runes.
const MaxClient = 200

// Acked is a journal entry: somebody has taken alerts, or an ack of alerts that still fire is over.
type Acked struct {
	Ack
	Alerts []Fingerprint `json:"alerts"`
	Ended  Reason        `json:"ended,omitempty"` // why it is over: [ReasonUnacked] or [ReasonAckTimeout]; "": it begins
}

// Selection names alerts for a command: one by its fingerprint, a group by its key, or all of a name, which may be
// narrowed to a service. Exactly one of Fingerprint, Group and Alert is set, unless All is.
type Selection struct {
	Fingerprint string   `json:"fingerprint,omitempty"` // 16 hexadecimal digits
	Group       GroupKey `json:"group,omitempty"`
	Alert       string   `json:"alert,omitempty"`
	Service     string   `json:"service,omitempty"` // goes with Alert
	All         bool     `json:"all,omitempty"`     // everything that the command is about
}

// Validate says what is wrong with a selection; the error is an [ErrInvalid].
func (s Selection) Validate() error {
	n := 0
	for _, set := range []bool{s.Fingerprint != "", s.Group != "", s.Alert != "", s.All} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return fmt.Errorf("%w: name one of fingerprint, group and alert", ErrInvalid)
	case s.Service != "" && s.Alert == "":
		return fmt.Errorf("%w: a service only narrows down alerts of a name; add alert", ErrInvalid)
	case s.Fingerprint != "":
		if _, err := ParseFingerprint(s.Fingerprint); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return nil
}

// String is the selection as people type it.
func (s Selection) String() string {
	switch {
	case s.Fingerprint != "":
		return s.Fingerprint
	case s.Group != "":
		return string(s.Group)
	case s.Service != "":
		return s.Alert + " of " + s.Service
	case s.All:
		return "all"
	}
	return s.Alert
}

// AckRequest is what somebody asks for: to take alerts, or to give them back.
type AckRequest struct {
	Selection
	Ack       // At is not read; a zero Until means the route's ack_timeout
	Undo bool // end the acks instead
}

// Released is a journal entry: somebody lets go what groups hold. It leaves now.
type Released struct {
	By     string     `json:"by"`
	From   AckSource  `json:"from"`
	Client string     `json:"client,omitempty"` // as in [Ack]
	Groups []GroupKey `json:"groups"`
}

// ReleaseRequest is what somebody asks for: to let go what is held for the groups of what is selected.
type ReleaseRequest struct {
	Selection
	By     string    `json:"by"`
	From   AckSource `json:"from"`
	Client string    `json:"-"` // see [Client]; who asks does not say it
}

// LetGo is what a release let go.
type LetGo struct {
	Groups []GroupKey `json:"groups"`
	Alerts int        `json:"alerts"` // in all of them, each counted once
}
