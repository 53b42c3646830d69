package alertd

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

// Silence hides alerts that match from notifications for a time. It is Alertmanager's: all matchers must match, and
// at least one must not match the empty string, or be one that excludes a value (!= or !~). What it has on top is left out of its JSON where it is not used, and
// a client that knows Alertmanager's fields alone sees a silence that begins and ends.
type Silence struct {
	ID        string    `json:"id"`
	Matchers  []Matcher `json:"matchers"`
	StartsAt  time.Time `json:"startsAt"`
	EndsAt    time.Time `json:"endsAt"`
	UpdatedAt time.Time `json:"updatedAt"`
	CreatedBy string    `json:"createdBy"`
	Comment   string    `json:"comment"`

	Annotations Labels `json:"annotations,omitzero"` // what clients want to remember with it

	Or            [][]Matcher   `json:"or,omitempty"`            // further sets: to match one set is enough
	Recurs        *Recurrence   `json:"recurs,omitempty"`        // in force in these windows only, between StartsAt and EndsAt
	UntilResolved bool          `json:"untilResolved,omitempty"` // over when all alerts in Awaits are, at EndsAt at the latest
	Awaits        []Fingerprint `json:"awaits,omitempty"`        // what fired and matched when it was made
	NoticedAt     time.Time     `json:"noticedAt,omitzero"`      // when it was looked at whether to tell that it ends soon

	Change *SilenceChange `json:"change,omitempty"` // what was done to it last
}

// Recurrence says in which windows a silence is in force: from each instant that Cron names, for Duration.
type Recurrence struct {
	Cron     string         `json:"cron"`     // five fields, or @daily and the like
	Duration model.Duration `json:"duration"` // of one window
	Zone     string         `json:"zone"`     // IANA name
}

// String is the recurrence for people.
func (r *Recurrence) String() string { return fmt.Sprintf("%s for %s, %s", r.Cron, r.Duration, r.Zone) }

// Matcher compares one label: = != =~ !~. A label that is missing is "". Regular expressions are anchored.
type Matcher struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	IsRegex bool   `json:"isRegex"`
	IsEqual bool   `json:"isEqual"`
}

// UnmarshalJSON reads a matcher. One that does not say whether it is equal is, as in Alertmanager.
func (m *Matcher) UnmarshalJSON(b []byte) error {
	type plain Matcher
	read := plain{IsEqual: true}
	if err := json.Unmarshal(b, &read); err != nil {
		return err
	}
	*m = Matcher(read)
	return nil
}

// String is the matcher as it is written in routing.yaml.
func (m Matcher) String() string {
	op := map[[2]bool]string{{false, true}: "=", {false, false}: "!=", {true, true}: "=~", {true, false}: "!~"}
	return fmt.Sprintf("%s%s%q", m.Name, op[[2]bool{m.IsRegex, m.IsEqual}], m.Value)
}

// SilenceState is where a silence is in its life.
type SilenceState string

// The states. The words are Alertmanager's.
const (
	SilencePending SilenceState = "pending"
	SilenceActive  SilenceState = "active"
	SilenceExpired SilenceState = "expired"
)

// State is where the silence is at an instant, whether it recurs or not. It ends at EndsAt, which is not part of it.
func (s *Silence) State(at time.Time) SilenceState {
	switch {
	case !at.Before(s.EndsAt):
		return SilenceExpired
	case at.Before(s.StartsAt):
		return SilencePending
	default:
		return SilenceActive
	}
}

// Match is a silence's matchers, compiled.
type Match []compiled

type compiled struct {
	Matcher
	re *regexp.Regexp
}

// maxMatcher bounds a matcher's value: a regular expression is compiled from it.
const maxMatcher = 4 << 10

// Compile prepares the matchers of a silence. The error says which one is wrong, or that they hide everything.
func Compile(ms []Matcher) (Match, error) {
	if len(ms) == 0 {
		return nil, fmt.Errorf("a silence needs at least one matcher")
	}
	out, err := CompileFilter(ms)
	if err != nil {
		return nil, err
	}
	for i := range out {
		if !out[i].IsEqual || !out[i].matches("") { // as in Alertmanager, to which what excludes something is narrow
			return out, nil
		}
	}
	return nil, fmt.Errorf("at least one matcher must not match the empty string, else the silence hides everything")
}

// CompileFilter prepares matchers that choose what is looked at. Unlike those of a silence they may match everything; none do.
// The error says which one is wrong.
func CompileFilter(ms []Matcher) (Match, error) {
	out := make(Match, len(ms))
	for i, m := range ms {
		if m.Name == "" {
			return nil, fmt.Errorf("matcher %d has no label name", i+1)
		}
		if len(m.Value) > maxMatcher {
			return nil, fmt.Errorf("matcher for %q is longer than %d bytes", m.Name, maxMatcher)
		}
		out[i].Matcher = m
		if m.IsRegex {
			re, err := regexp.Compile("^(?s:" + m.Value + ")$")
			if err != nil {
				return nil, fmt.Errorf("matcher for %q: %w", m.Name, err)
			}
			out[i].re = re
		}
	}
	return out, nil
}

func (c *compiled) matches(value string) bool {
	is := value == c.Value
	if c.re != nil {
		is = c.re.MatchString(value)
	}
	return is == c.IsEqual
}

// Matches reports whether all matchers match.
func (m Match) Matches(ls Labels) bool {
	for i := range m {
		if !m[i].matches(ls.Get(m[i].Name)) {
			return false
		}
	}
	return true
}

// AnyOf are sets of matchers, compiled. To match one of them is enough.
type AnyOf []Match

// maxSets bounds the sets of one silence, and the matchers of all of them.
const maxSets, maxMatchers = 50, 500

// Compile prepares all sets of matchers of the silence. The error says which matcher is wrong, and why.
func (s *Silence) Compile() (AnyOf, error) {
	if len(s.Or) >= maxSets {
		return nil, fmt.Errorf("a silence has at most %d sets of matchers", maxSets)
	}
	n := 0
	out := make(AnyOf, 0, 1+len(s.Or))
	for _, set := range s.sets() {
		if n += len(set); n > maxMatchers {
			return nil, fmt.Errorf("a silence has at most %d matchers", maxMatchers)
		}
		match, err := Compile(set)
		if err != nil {
			return nil, err
		}
		out = append(out, match)
	}
	return out, nil
}

func (s *Silence) sets() [][]Matcher { return append([][]Matcher{s.Matchers}, s.Or...) }

// Matches reports whether one of the sets matches.
func (a AnyOf) Matches(ls Labels) bool {
	return slices.ContainsFunc(a, func(m Match) bool { return m.Matches(ls) })
}

// MatchesAny reports whether a set matches alerts whatever they are called: it names no value that an alert must have.
func (a AnyOf) MatchesAny() bool {
	const nobody = "\u2400 no label has this value \u2400"
	return slices.ContainsFunc(a, func(m Match) bool {
		return !slices.ContainsFunc(m, func(c compiled) bool { return !c.matches(nobody) })
	})
}

// Hides reports whether two silences hide the same alerts by the letter, and at the same times between their beginning
// and their end. The order of sets and of matchers does not matter.
func (s *Silence) Hides(other *Silence) bool {
	same := func(a, b [][]Matcher) bool {
		for _, set := range a {
			if !slices.ContainsFunc(b, func(o []Matcher) bool { return SameMatchers(set, o) }) {
				return false
			}
		}
		return true
	}
	a, b := s.sets(), other.sets()
	windows := s.Recurs == other.Recurs || s.Recurs != nil && other.Recurs != nil && *s.Recurs == *other.Recurs
	return windows && same(a, b) && same(b, a)
}

// SameMatchers reports whether two silences hide the same alerts by the letter, whatever the order of their matchers.
func SameMatchers(a, b []Matcher) bool {
	return slices.Equal(sortedMatchers(a), sortedMatchers(b))
}

func sortedMatchers(ms []Matcher) []string {
	out := make([]string, len(ms))
	for i, m := range ms {
		out[i] = m.String()
	}
	slices.Sort(out)
	return out
}

// SilenceView is a silence together with what it does and has done.
type SilenceView struct {
	Silence
	State SilenceState `json:"state"`           // pending between the windows of one that recurs
	Until time.Time    `json:"until,omitzero"`  // when the state changes; zero: it has expired
	Hides []Hidden     `json:"hides"`           // what fires now and is hidden by it, or would be if another one did not
	Hid   []Hidden     `json:"hid"`             // what it kept from being told, the first of them
	More  int          `json:"more,omitempty"`  // so many more, some perhaps counted twice
	Last  time.Time    `json:"last,omitzero"`   // when it last hid something; zero: never
	Idle  bool         `json:"idle"`            // in force, and for long it has hidden nothing
	Broad string       `json:"broad,omitempty"` // why somebody should have a second look at what it hides

	Changes []SilenceChange `json:"changes"` // what was done to it, oldest first; of many, the first and the last ones
}

// ByUrgency compares silences: first those in force that end next, then those that begin next, then those that ended last.
func ByUrgency(a, b SilenceView) int {
	rank := map[SilenceState]int{SilenceActive: 0, SilencePending: 1, SilenceExpired: 2}
	c := cmp.Compare(rank[a.State], rank[b.State])
	switch a.State {
	case SilenceActive:
		c = cmp.Or(c, a.EndsAt.Compare(b.EndsAt))
	case SilencePending:
		c = cmp.Or(c, a.StartsAt.Compare(b.StartsAt))
	case SilenceExpired:
		c = cmp.Or(c, b.EndsAt.Compare(a.EndsAt))
	}
	return cmp.Or(c, cmp.Compare(a.ID, b.ID))
}

// Hidden is an alert that a silence hides or hid.
type Hidden struct {
	Fingerprint Fingerprint `json:"fingerprint"`
	Alert       string      `json:"alert"`
	Service     string      `json:"service"`
	Severity    Severity    `json:"severity"`
	Since       time.Time   `json:"since"` // when it began to fire, or was first hidden
}

// SilencePreview says what a silence would hide.
type SilencePreview struct {
	Hides  []Hidden     `json:"hides"`           // of what fires now, the most urgent first
	Firing int          `json:"firing"`          // how many alerts fire now
	Broad  string       `json:"broad,omitempty"` // why somebody should have a second look at what it hides
	Since  time.Time    `json:"since"`           // how far back Pages reach
	Pages  []HiddenPage `json:"pages"`           // the last ones, newest first
	Paged  int          `json:"paged"`           // how many notifications it would have kept quiet since, however many destinations got each
	Thin   int          `json:"thin"`            // how many others it would have taken alerts from
	Alerts int          `json:"alerts"`          // how many alerts that is, each counted once
}

// HiddenPage is a notification that told what a silence would have hidden.
type HiddenPage struct {
	Time     time.Time `json:"time"`
	Receiver string    `json:"receiver"`
	Hides    []Hidden  `json:"hides"` // the first of them
	Of       int       `json:"of"`    // how many alerts it told as firing
	Whole    bool      `json:"whole"` // all of them: it would not have been sent
}

// Posted is an alert that somebody else has judged, as Prometheus posts it to an Alertmanager.
type Posted struct {
	Labels       Labels    `json:"labels"`
	Annotations  Labels    `json:"annotations"`
	StartsAt     time.Time `json:"startsAt,omitzero"` // zero: now
	EndsAt       time.Time `json:"endsAt,omitzero"`   // zero: resolve_timeout after the last post
	GeneratorURL string    `json:"generatorURL,omitempty"`
}

// Standing is an alert together with why it is told or not.
type Standing struct {
	Alert
	Receivers   []string      `json:"receivers"` // sorted
	SilencedBy  []string      `json:"silencedBy"`
	InhibitedBy []Fingerprint `json:"inhibitedBy"`
	MutedBy     []string      `json:"mutedBy"` // time intervals and calendars; of an alert in several groups: only if they keep all of them quiet
	UpdatedAt   time.Time     `json:"updatedAt"`
}

// GroupView is a group of alerts and its receiver. That its alerts are muted is about this group.
type GroupView struct {
	Key         GroupKey   `json:"key"`
	Labels      Labels     `json:"labels"`
	RouteLabels Labels     `json:"routeLabels"`
	Receiver    string     `json:"receiver"`
	Alerts      []Standing `json:"alerts"`
}
