package amapi

import (
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/matcher/compat"
	amlabels "github.com/prometheus/alertmanager/pkg/labels"

	"alertd"
)

// Bounds of a filter. Each is matched against every alert.
const (
	maxFilters    = 100
	maxFilterSize = 4 << 10
)

// parseMatcher reads one matcher as Alertmanager does by default: with quoted UTF-8 names, and what was allowed before
// there were any.
var parseMatcher = compat.FallbackMatcherParser(slog.New(slog.DiscardHandler))

// matchers are those of a parameter that may be repeated; all have to match.
func matchers(q url.Values, name string) ([]*amlabels.Matcher, error) {
	values := q[name]
	if len(values) > maxFilters {
		return nil, problem(http.StatusBadRequest, "more than %d values of %s", maxFilters, name)
	}
	out := make([]*amlabels.Matcher, len(values))
	for i, v := range values {
		if len(v) > maxFilterSize {
			return nil, problem(http.StatusBadRequest, "%s is longer than %d bytes", name, maxFilterSize)
		}
		m, err := parseMatcher(v, "api")
		if err != nil {
			return nil, problem(http.StatusBadRequest, "%s", err)
		}
		out[i] = m
	}
	return out, nil
}

func matchAll(ms []*amlabels.Matcher, ls alertd.Labels) bool {
	return !slices.ContainsFunc(ms, func(m *amlabels.Matcher) bool { return !m.Matches(ls.Get(m.Name)) })
}

// last is the value of a parameter that has one: of several the last, and none is as good as an empty one.
func last(q url.Values, name string) string {
	if v := q[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// flag is a parameter that is true unless the request says otherwise. Alertmanager takes all these words for yes and any
// other for no.
func flag(q url.Values, name string) bool {
	switch strings.ToLower(last(q, name)) {
	case "", "true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled":
		return true
	}
	return false
}

// alertFilter is what a reader of alerts wants to see. unprocessed is a parameter too, but no alert of ours is: who
// hears of it is known as soon as it fires.
type alertFilter struct {
	active, silenced, inhibited, muted bool
	matchers                           []*amlabels.Matcher
	receiver                           *regexp.Regexp // nil: any
	receiverMatchers                   []*amlabels.Matcher
	receiverLabels                     map[string]alertd.Labels // by name; of no use without matchers
}

func (a *api) readAlertFilter(r *http.Request) (f alertFilter, err error) {
	q := r.URL.Query()
	f = alertFilter{active: flag(q, "active"), silenced: flag(q, "silenced"), inhibited: flag(q, "inhibited"), muted: flag(q, "muted")}
	if f.matchers, err = matchers(q, "filter"); err != nil {
		return f, err
	}
	if v := last(q, "receiver"); v != "" {
		if len(v) > maxFilterSize {
			return f, problem(http.StatusBadRequest, "receiver is longer than %d bytes", maxFilterSize)
		}
		if f.receiver, err = regexp.Compile("^(?:" + v + ")$"); err != nil {
			return f, problem(http.StatusBadRequest, "failed to parse receiver param: %v", err)
		}
	}
	if f.receiverMatchers, err = matchers(q, "receiver_matchers"); err != nil {
		return f, problem(http.StatusBadRequest, "failed to parse receiver_matchers param: %v", err)
	}
	if len(f.receiverMatchers) > 0 {
		f.receiverLabels = map[string]alertd.Labels{}
		for _, rc := range a.o.State.Receivers(r.Context()) {
			f.receiverLabels[rc.Name] = rc.Labels
		}
	}
	return f, nil
}

// wants reports whether an alert is to be seen, whoever receives it.
func (f *alertFilter) wants(s *alertd.Standing) bool {
	switch {
	case !s.State.Active():
		return false
	case !f.active && len(s.SilencedBy) == 0 && len(s.InhibitedBy) == 0:
		return false
	case !f.silenced && len(s.SilencedBy) > 0, !f.inhibited && len(s.InhibitedBy) > 0:
		return false
	}
	return matchAll(f.matchers, s.Labels)
}

// anyReceiver reports that it does not matter who receives an alert.
func (f *alertFilter) anyReceiver() bool { return f.receiver == nil && len(f.receiverMatchers) == 0 }

// wantsReceiver reports whether what goes to a receiver is to be seen.
func (f *alertFilter) wantsReceiver(name string) bool {
	return (f.receiver == nil || f.receiver.MatchString(name)) && matchAll(f.receiverMatchers, f.receiverLabels[name])
}

// sameMatcher reports whether a matcher of a silence is, by the letter, the one that is looked for.
func sameMatcher(want *amlabels.Matcher, m alertd.Matcher) bool {
	isEqual := want.Type == amlabels.MatchEqual || want.Type == amlabels.MatchRegexp
	isRegex := want.Type == amlabels.MatchRegexp || want.Type == amlabels.MatchNotRegexp
	return want.Name == m.Name && want.Value == m.Value && isEqual == m.IsEqual && isRegex == m.IsRegex
}
