package alertd

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Silence hides alerts that match from notifications for a time. It is Alertmanager's: all matchers must match, and
// at least one must not match the empty string.
type Silence struct {
	ID        string    `json:"id"`
	Matchers  []Matcher `json:"matchers"`
	StartsAt  time.Time `json:"startsAt"`
	EndsAt    time.Time `json:"endsAt"`
	UpdatedAt time.Time `json:"updatedAt"`
	CreatedBy string    `json:"createdBy"`
	Comment   string    `json:"comment"`

	Annotations Labels `json:"annotations,omitzero"` // what clients want to remember with it
}

// Matcher compares one label: = != =~ !~. A label that is missing is "". Regular expressions are anchored.
type Matcher struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	IsRegex bool   `json:"isRegex"`
	IsEqual bool   `json:"isEqual"`
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

// State is where the silence is at an instant. It ends at EndsAt, which is not part of it.
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
	out := make(Match, len(ms))
	narrow := false
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
		narrow = narrow || !out[i].matches("")
	}
	if !narrow {
		return nil, fmt.Errorf("at least one matcher must not match the empty string, else the silence hides everything")
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
	MutedBy     []string      `json:"mutedBy"` // time intervals and calendars
	UpdatedAt   time.Time     `json:"updatedAt"`
}

// GroupView is a group of alerts and its receiver.
type GroupView struct {
	Key      GroupKey   `json:"key"`
	Labels   Labels     `json:"labels"`
	Receiver string     `json:"receiver"`
	Alerts   []Standing `json:"alerts"`
}
