package alertd

import "time"

// Commit is one message of the journal: what one turn of the loop decided. It is atomic, ordered and fenced.
type Commit struct {
	Epoch      uint64    `json:"epoch"` // of the writer; a newer writer has a higher one
	Node       string    `json:"node"`  // who wrote it
	Time       time.Time `json:"time"`
	Checkpoint uint64    `json:"checkpoint"` // every event up to this sequence of EVENTS is evaluated
	// Events is when the stream EVENTS was made in which Checkpoint counts: one that was deleted and made anew counts from 1. Zero: as
	// in the commit before. The first commit of an epoch says it.
	Events  time.Time `json:"events,omitzero"`
	Prev    string    `json:"prev"` // SHA-256 of the previous commit's bytes, hexadecimal; "" for the first
	Entries []Entry   `json:"entries,omitempty"`
}

// Entry is one decision. Exactly one of the pointers is set. Folding entries in order gives the engine's state.
type Entry struct {
	Time time.Time `json:"time"` // when it was decided, daemon's clock

	Transition *Transition `json:"transition,omitempty"`
	Joined     *Joined     `json:"joined,omitempty"`
	Scheduled  *Scheduled  `json:"scheduled,omitempty"`
	Withheld   *Withheld   `json:"withheld,omitempty"`
	Flushed    *Flushed    `json:"flushed,omitempty"`
	Planned    *Planned    `json:"planned,omitempty"`
	Attempted  *Attempted  `json:"attempted,omitempty"`
	Policy     *PolicySet  `json:"policy,omitempty"`
	Silence    *Silence    `json:"silence,omitempty"` // as it is from here on: made, changed or ended
	Acked      *Acked      `json:"acked,omitempty"`
	Released   *Released   `json:"released,omitempty"`
	Admitted   *Admitted   `json:"admitted,omitempty"`
	ClockSet   *ClockSet   `json:"clock_set,omitempty"`
}

// Decisions counts the decisions that the entry holds. It is one in an entry that this version knows.
func (e *Entry) Decisions() (n int) {
	for _, set := range []bool{
		e.Transition != nil, e.Joined != nil, e.Scheduled != nil, e.Withheld != nil, e.Flushed != nil, e.Planned != nil,
		e.Attempted != nil, e.Policy != nil, e.Silence != nil, e.Acked != nil, e.Released != nil, e.Admitted != nil, e.ClockSet != nil,
	} {
		if set {
			n++
		}
	}
	return n
}

// ClockSet says that the clock goes back: somebody has set it, or the node that leads from here on has one that is behind. What was to
// happen later than the instant of the entry happens so much earlier, and what has happened later has happened at that instant; else
// nothing would be told until the clock shows again what it has shown.
type ClockSet struct {
	Back time.Duration `json:"back"` // nanoseconds
}

// Transition is a change of an alert's state. Alert is as it is afterwards.
type Transition struct {
	From   State  `json:"from"`
	Reason Reason `json:"reason"`
	Alert  Alert  `json:"alert"`
}

// Joined says that an alert entered a group: where it was routed, and with which timing.
type Joined struct {
	Fingerprint    Fingerprint   `json:"fingerprint"`
	Group          GroupKey      `json:"group"`
	GroupLabels    Labels        `json:"group_labels"`
	RouteLabels    Labels        `json:"route_labels,omitzero"`
	Route          string        `json:"route"` // path through the tree, for people
	Receiver       string        `json:"receiver"`
	Delivery       Delivery      `json:"delivery"`
	Calendar       string        `json:"calendar,omitempty"`
	Mute           []string      `json:"mute,omitempty"`   // names of time intervals
	Active         []string      `json:"active,omitempty"` // names of time intervals
	GroupWait      time.Duration `json:"group_wait"`
	GroupInterval  time.Duration `json:"group_interval"`
	RepeatInterval time.Duration `json:"repeat_interval"`

	RepageInterval time.Duration `json:"repage_interval,omitempty"` // of a critical alert that nobody took; 0: never
	MaxHold        time.Duration `json:"max_hold,omitempty"`        // business hours hold nothing for longer; 0: for ever
	Escalation     string        `json:"escalation,omitempty"`      // along which such an alert goes, by name
	Step           int           `json:"step,omitempty"`            // the group is that step of Escalation, from 1; 0: it is a route's
}

// Scheduled sets the instant at which a group is looked at next, and why not before.
type Scheduled struct {
	Group    GroupKey  `json:"group"`
	Due      time.Time `json:"due"`
	Reason   Reason    `json:"reason"` // grouped, held, muted, inhibited
	Calendar string    `json:"calendar,omitempty"`
}

// Withheld says that one alert was not told in one group, and why.
type Withheld struct {
	Fingerprint Fingerprint `json:"fingerprint"`
	Group       GroupKey    `json:"group"`
	Receiver    string      `json:"receiver"`
	Reason      Reason      `json:"reason"`
	By          string      `json:"by,omitempty"`    // fingerprint of the inhibiting alert, name of the calendar, …
	Until       time.Time   `json:"until,omitzero"`  // when it is looked at again; zero: not again by itself
	Detail      string      `json:"detail,omitzero"` // for people
}

// Flushed says what a group told when it was due, and what it forgets.
type Flushed struct {
	Group  GroupKey      `json:"group"`
	Told   []Fingerprint `json:"told,omitempty"`   // firing, announced now
	Closed []Fingerprint `json:"closed,omitempty"` // announced before, resolved aloud now
	Ended  []Fingerprint `json:"ended,omitempty"`  // never announced, over: leave without a word
	Spoke  bool          `json:"spoke"`            // a notification was planned
}

// Planned is a notification that is to be delivered: remembered before it is sent.
type Planned struct {
	Notification Notification `json:"notification"`

	Groups []GroupKey `json:"groups,omitempty"` // that a digest speaks of: what they say later comes after it
	Waits  bool       `json:"waits,omitempty"`  // for a place within the limit of its destination, or for a summary to fold it
	Folds  []string   `json:"folds,omitempty"`  // a summary's: the IDs of what it is sent in place of
}

// Admitted lets notifications leave that waited for a place within the limit of their destination.
type Admitted struct {
	Receiver      string   `json:"receiver"`
	Integration   string   `json:"integration"`
	Notifications []string `json:"notifications"` // their IDs, most urgent first
	Place         Place    `json:"place"`
}

// Place is what a notification takes of the limit of its destination.
type Place string

// The places.
const (
	PlaceOwn     Place = "own"     // that of a message
	PlaceSummary Place = "summary" // that of a summary, which would have been of one message only
	PlaceNone    Place = "none"    // it only brings a message up to date that is there, and disturbs nobody
)

// Attempted is a sender's answer, and what follows from it.
type Attempted struct {
	Attempt
	Receiver    string    `json:"receiver"`
	Integration string    `json:"integration"`
	Group       GroupKey  `json:"group"`
	Next        time.Time `json:"next,omitzero"`  // when it is tried again; zero: this was the last attempt
	DeadLetter  bool      `json:"dead,omitempty"` // given up: an alarm goes out by another route
}

// PolicySet says which configuration decides from here on.
type PolicySet struct {
	Version string `json:"version"` // hash of the files
}
