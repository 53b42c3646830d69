package alertd

import (
	"fmt"
	"log/slog"
	"time"
)

// Reason says why something was sent, or why it was not. It is a closed set: it reaches the journal, the log,
// a metric's label and people.
type Reason string

// Why a group spoke. The words are Alertmanager's notification_reason.
const (
	ReasonFirst        Reason = "first notification"
	ReasonNewAlerts    Reason = "new alerts added"
	ReasonSomeResolved Reason = "some alerts resolved"
	ReasonAllResolved  Reason = "all alerts resolved"
	ReasonRepeat       Reason = "repeat interval elapsed"
	ReasonDigest       Reason = "business hours opened" // held until now
	ReasonReleased     Reason = "released"              // what was held, because somebody let it go
	ReasonMaxHold      Reason = "held for max_hold"     // business hours did not open for so long
	ReasonRepage       Reason = "not acknowledged"      // repage_interval elapsed, and it is critical
	ReasonEscalated    Reason = "not acknowledged, escalated"
	ReasonAcked        Reason = "acknowledged" // told only where an earlier message is brought up to date
	ReasonUnacked      Reason = "acknowledgement taken back"
	ReasonAckTimeout   Reason = "acknowledgement ran out"
	ReasonLimit        Reason = "too many messages a minute" // one summary in place of what is over the limit
)

// Why an alert was not told, or not yet.
const (
	ReasonGrouped       Reason = "grouped"        // waits for group_wait or group_interval, until …
	ReasonDeduplicated  Reason = "deduplicated"   // told before, nothing new
	ReasonInhibited     Reason = "inhibited"      // by another alert
	ReasonSilenced      Reason = "silenced"       // by a silence
	ReasonHeld          Reason = "held"           // by a calendar, until …
	ReasonMuted         Reason = "muted"          // by a time interval, until …
	ReasonFlapping      Reason = "flapping"       // its end is not believed, until …
	ReasonDashboard     Reason = "dashboard only" // never pushed
	ReasonEnded         Reason = "ended untold"   // resolved before it was due
	ReasonNoResolve     Reason = "send_resolved is off"
	ReasonDeadLetter    Reason = "delivery failed"
	ReasonNoDestination Reason = "receiver has no destination"
	ReasonRaised        Reason = "raised"   // to a more urgent alert, while it was held
	ReasonRerouted      Reason = "rerouted" // the routing changed before it was told, or has no such receiver any more
)

// Why an alert changed state.
const (
	ReasonTrue         Reason = "condition true"
	ReasonHeldFor      Reason = "true for long enough" // `for` is over
	ReasonPosted       Reason = "posted"               // somebody else has judged
	ReasonPostedOver   Reason = "posted as over"
	ReasonFalse        Reason = "condition ended"
	ReasonGone         Reason = "series gone"        // not the condition ended, but what it reads
	ReasonRetired      Reason = "no longer polled"   // alertd was told not to ask for it any more
	ReasonNoData       Reason = "no data"            // no series that the rule reads is there
	ReasonMissing      Reason = "series missing"     // others of the rule are there
	ReasonSilent       Reason = "input is silent"    // nothing arrives at all: nothing is known of anybody
	ReasonFailed       Reason = "evaluation failed"  // of the rule
	ReasonRecovered    Reason = "recovery condition" // recover_expr is true
	ReasonLate         Reason = "true earlier"       // late samples moved the beginning
	ReasonKept         Reason = "kept firing"        // keep_firing_for runs
	ReasonKeptOver     Reason = "keep_firing_for is over"
	ReasonExpired      Reason = "expired"      // an occurrence that has stood long enough
	ReasonRuleGone     Reason = "rule is gone" // no longer in the rule files
	ReasonTrueAgain    Reason = "condition true again"
	ReasonAgain        Reason = "happened again"      // one more occurrence while the last one stands
	ReasonTimeout      Reason = "not posted any more" // resolve_timeout, or its endsAt, is over
	ReasonRuleMoved    Reason = "rule moved"          // another rule yields the same labels now
	ReasonUndelivered  Reason = "notification was not delivered"
	ReasonDelivering   Reason = "notifications are delivered again"
	ReasonReceiverGone Reason = "receiver is gone" // no longer in the configuration
	ReasonSilenceEnds  Reason = "a silence ends soon"
	ReasonSilenceOver  Reason = "the silence is over"
	ReasonSilenceSet   Reason = "the silence was changed"
)

// Delivery says when a route lets an alert out.
type Delivery string

// The deliveries. The word of the routing file is the value.
const (
	Immediate     Delivery = "immediate"
	BusinessHours Delivery = "business_hours"
	Dashboard     Delivery = "dashboard"
)

// GroupKey identifies a group of alerts: the route's identity and the values of its group_by labels. Its form
// is Alertmanager's: `{}/{severity="critical"}:{service="api"}`.
type GroupKey string

// Notification is one message for one destination. It is complete: a sender needs nothing else.
type Notification struct {
	ID          string     `json:"id"` // the same over retries and restarts: an idempotency key
	Receiver    string     `json:"receiver"`
	Integration string     `json:"integration"` // which of the receiver's destinations: "slack/0", "webhook/1"
	Group       GroupKey   `json:"group"`       // for a digest, one that no route yields
	GroupLabels Labels     `json:"group_labels"`
	RouteLabels Labels     `json:"route_labels,omitzero"` // as the route has them: templates
	Reason      Reason     `json:"reason"`
	Digest      bool       `json:"digest,omitempty"`
	Seq         uint64     `json:"seq"` // counts the group's notifications, from 1
	PlannedAt   time.Time  `json:"planned_at"`
	DueAt       time.Time  `json:"due_at,omitzero"`     // of a digest that leaves late: when it was to leave
	Alerts      []Notified `json:"alerts"`              // firing first, then by severity, then by age
	Truncated   int        `json:"truncated,omitempty"` // how many more there are that Alerts leaves out
	Ref         string     `json:"ref,omitempty"`       // what the provider called the group's first message
	Summary     *Summary   `json:"summary,omitempty"`   // it tells in short what other messages were to tell; nil: it does not
}

// Collective reports whether it speaks of several groups, each of which has messages of its own: a digest or a summary.
func (n *Notification) Collective() bool { return n.Digest || n.Summary != nil }

// Summary is what a notification says about the groups whose own messages it is sent in place of, since they were more than
// the limit of the destination allows. Each group is counted once, as it was when it last spoke.
type Summary struct {
	Firing   int `json:"firing"`   // groups that fire
	Resolved int `json:"resolved"` // groups that are over
	Limit    int `json:"limit"`    // of the destination, in messages a minute
}

// Notified is an alert as a notification tells it: as it was when the group spoke.
type Notified struct {
	Alert
	HeldSince time.Time `json:"held_since,omitzero"`  // when the hold began
	HeldAs    Severity  `json:"held_as,omitempty"`    // it was held as a less urgent alert, and was raised; "": it was held as what it is
	GoesOnAs  Severity  `json:"goes_on_as,omitempty"` // over, and the same with this severity fires; "": nothing does
	Fresh     bool      `json:"fresh,omitempty"`      // firing, and told for the first time
}

// FlapWindow is how far back the changes of an alert are counted that comes and goes.
const FlapWindow = 30 * time.Minute

// Status is "firing" while any alert in it is, else "resolved". The words are Alertmanager's.
func (n *Notification) Status() string {
	for i := range n.Alerts {
		if n.Alerts[i].State.Active() {
			return "firing"
		}
	}
	return "resolved"
}

// Severity is the most urgent one among the firing alerts, else among all.
func (n *Notification) Severity() Severity {
	var best Severity
	firing := n.Status() == "firing"
	for i := range n.Alerts {
		a := &n.Alerts[i]
		if firing && !a.State.Active() {
			continue
		}
		if s := a.Severity(); best == "" || s.Rank() < best.Rank() {
			best = s
		}
	}
	return best
}

// LogValue is bounded and holds no secret.
func (n Notification) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", n.ID), slog.String("to", n.Receiver+"/"+n.Integration),
		slog.Int("alerts", len(n.Alerts)), slog.String("reason", string(n.Reason)))
}

// Held is an alert that waits in a group, and why: what `alertd queue` shows. It waits to be told, or, where it was told
// and is over, for its end to be.
type Held struct {
	Alert    Alert     `json:"alert"`
	Receiver string    `json:"receiver"`
	Group    GroupKey  `json:"group"`
	Told     bool      `json:"told,omitempty"` // it was told: what waits is its end
	Reason   Reason    `json:"reason"`         // held, grouped, muted, inhibited, flapping, …
	By       string    `json:"by,omitempty"`   // the alert that inhibits it, the silence, the time interval; see Calendar
	Calendar string    `json:"calendar,omitempty"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
}

// Why is why it waits, for people: "held by office", "its end: flapping".
func (h *Held) Why() string {
	why := string(h.Reason)
	if h.Calendar != "" {
		why += " by " + h.Calendar
	}
	if h.Told {
		why = "its end: " + why
	}
	return why
}

// Draft is what a receiver would be sent if what a calendar holds for it left now.
type Draft struct {
	Receiver string         `json:"receiver"`
	Calendar string         `json:"calendar"`
	Reason   Reason         `json:"reason"`   // why it leaves at Until
	Until    time.Time      `json:"until"`    // when it leaves, as far as is known
	Messages []Notification `json:"messages"` // for each destination, without IDs; none: nothing would be sent
	Omitted  []Held         `json:"omitted"`  // what is held and would not be told, since something hides it
}

// Outcome is how an attempt to deliver ended.
type Outcome string

// The outcomes.
const (
	Delivered Outcome = "delivered"
	Retry     Outcome = "retry"   // transient: it is tried again at the instant that the engine names
	Unknown   Outcome = "unknown" // sent, but no answer came: it may have arrived
	Failed    Outcome = "failed"  // permanent: nobody needs to try again
)

// Folded is how a notification ended that was never tried: a summary was sent in place of it. No sender answers it.
const Folded Outcome = "folded"

// FailureClass says what kind of failure a delivery met: a label of a metric, never free text.
type FailureClass string

// The classes.
const (
	FailureRateLimited FailureClass = "rate_limited"
	FailureAuth        FailureClass = "auth"
	FailureDestination FailureClass = "destination" // no such channel, gone, archived
	FailurePayload     FailureClass = "payload"     // refused for what it says
	FailureServer      FailureClass = "server"
	FailureNetwork     FailureClass = "network" // nothing was sent
	FailureTimeout     FailureClass = "timeout"
	FailureConfig      FailureClass = "config"   // no such receiver here
	FailureTemplate    FailureClass = "template" // a template of the receiver's failed
)

// Attempt is the answer to one try to deliver one notification.
type Attempt struct {
	Notification string        `json:"notification"` // its ID
	N            int           `json:"n"`            // from 1
	Outcome      Outcome       `json:"outcome"`
	Class        FailureClass  `json:"class,omitempty"`
	Detail       string        `json:"detail,omitempty"` // for people: at most 1 KiB, never a secret
	RetryAfter   time.Duration `json:"retry_after,omitempty"`
	Ref          string        `json:"ref,omitempty"`      // what the provider calls the message
	TraceID      string        `json:"trace_id,omitempty"` // of alertd's own span of it; "" where nobody keeps one
	Latency      time.Duration `json:"latency"`
}

// LogValue is bounded and holds no secret. Which notification it is of is said beside it.
func (a Attempt) LogValue() slog.Value {
	attrs := []slog.Attr{slog.Int("n", a.N), slog.String("outcome", string(a.Outcome))}
	if a.Class != "" {
		attrs = append(attrs, slog.String("class", string(a.Class)))
	}
	if a.Detail != "" {
		attrs = append(attrs, slog.String("detail", a.Detail))
	}
	return slog.GroupValue(attrs...)
}

// DeliveryError is what a sender returns when a notification did not arrive, or may not have; or, with the outcome
// Delivered, when it arrived in another form than it was to have.
type DeliveryError struct {
	Outcome    Outcome
	Class      FailureClass
	RetryAfter time.Duration // what the provider asked for; 0: not said
	Err        error         // never contains a secret
}

// Error is for people.
func (e *DeliveryError) Error() string { return fmt.Sprintf("%s (%s): %v", e.Outcome, e.Class, e.Err) }

// Unwrap returns the cause.
func (e *DeliveryError) Unwrap() error { return e.Err }
