package amapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// gettableSilence is a silence as it is shown, its members in Alertmanager's order.
type gettableSilence struct {
	ID     string `json:"id"`
	Status struct {
		State alertd.SilenceState `json:"state"`
	} `json:"status"`
	UpdatedAt   instant       `json:"updatedAt"`
	Annotations alertd.Labels `json:"annotations,omitzero"`
	Comment     string        `json:"comment"`
	CreatedBy   string        `json:"createdBy"`
	EndsAt      instant       `json:"endsAt"`
	Matchers    []matcher     `json:"matchers"`
	StartsAt    instant       `json:"startsAt"`

	// What Alertmanager does not have. Its clients pass over members that they do not know.
	Or            [][]matcher        `json:"or,omitempty"`
	Recurs        *alertd.Recurrence `json:"recurs,omitempty"`
	UntilResolved bool               `json:"untilResolved,omitempty"`
}

type matcher struct {
	IsEqual bool   `json:"isEqual"`
	IsRegex bool   `json:"isRegex"`
	Name    string `json:"name"`
	Value   string `json:"value"`
}

// instant is a time with milliseconds.
type instant time.Time

// MarshalJSON writes it in UTC.
func (t instant) MarshalJSON() ([]byte, error) { return appendTime(nil, time.Time(t)), nil }

func shown(s *alertd.SilenceView) gettableSilence {
	out := gettableSilence{
		ID: s.ID, UpdatedAt: instant(s.UpdatedAt), Annotations: s.Annotations, Comment: s.Comment, CreatedBy: s.CreatedBy,
		EndsAt: instant(s.EndsAt), StartsAt: instant(s.StartsAt), Matchers: shownMatchers(s.Matchers),
		Recurs: s.Recurs, UntilResolved: s.UntilResolved,
	}
	out.Status.State = s.State
	for _, set := range s.Or {
		out.Or = append(out.Or, shownMatchers(set))
	}
	return out
}

func shownMatchers(set []alertd.Matcher) []matcher {
	out := make([]matcher, len(set))
	for i, m := range set {
		out[i] = matcher{m.IsEqual, m.IsRegex, m.Name, m.Value}
	}
	return out
}

func (a *api) getSilences(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	wanted, err := matchers(q, "filter")
	if err != nil {
		return err
	}
	all, err := a.o.State.Silences(r.Context())
	if err != nil {
		return err
	}
	states := map[alertd.SilenceState]bool{
		alertd.SilenceActive: flag(q, "active"), alertd.SilencePending: flag(q, "pending"), alertd.SilenceExpired: flag(q, "expired"),
	}
	all = slices.DeleteFunc(all, func(s alertd.SilenceView) bool {
		if !states[s.State] {
			return true
		}
		for _, m := range wanted {
			if !slices.ContainsFunc(s.Matchers, func(have alertd.Matcher) bool { return sameMatcher(m, have) }) {
				return true
			}
		}
		return false
	})
	slices.SortFunc(all, alertd.ByUrgency)
	out := make([]gettableSilence, len(all))
	for i := range all {
		out[i] = shown(&all[i])
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// postableSilence is a silence as it is asked for. What must be there is a pointer.
type postableSilence struct {
	ID          string            `json:"id"`
	Matchers    []postableMatcher `json:"matchers"`
	StartsAt    *string           `json:"startsAt"`
	EndsAt      *string           `json:"endsAt"`
	CreatedBy   *string           `json:"createdBy"`
	Comment     *string           `json:"comment"`
	Annotations map[string]string `json:"annotations"`

	Or            [][]postableMatcher `json:"or"`
	Recurs        *alertd.Recurrence  `json:"recurs"`
	UntilResolved bool                `json:"untilResolved"`
}

type postableMatcher struct {
	Name    *string `json:"name"`
	Value   *string `json:"value"`
	IsRegex *bool   `json:"isRegex"`
	IsEqual *bool   `json:"isEqual"`
}

func (a *api) postSilence(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r, maxSilenceBody)
	if err != nil {
		return err
	}
	s, err := decodeSilence(body)
	if err != nil {
		return err
	}
	switch now := a.o.Now(); {
	case !s.EndsAt.After(s.StartsAt):
		return problem(http.StatusBadRequest, "Failed to create silence: start time must be before end time")
	case s.EndsAt.Before(now):
		return problem(http.StatusBadRequest, "Failed to create silence: end time can't be in the past")
	}
	id, err := a.o.State.SetSilence(r.Context(), s, alertd.Caller(r.RemoteAddr, r.UserAgent()))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		ID string `json:"silenceID"`
	}{id})
	return nil
}

func decodeSilence(body []byte) (s alertd.Silence, err error) {
	var p postableSilence
	if len(body) == 0 {
		return s, refused(codeRequired, "silence in body is required")
	}
	if err := validJSON(body); err != nil {
		return s, err
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return s, refused(http.StatusBadRequest, "parsing silence body failed: %v", err)
	}
	for _, f := range []struct {
		name    string
		missing bool
	}{
		{"comment", p.Comment == nil},
		{"createdBy", p.CreatedBy == nil},
		{"endsAt", p.EndsAt == nil},
		{"matchers", p.Matchers == nil},
		{"startsAt", p.StartsAt == nil},
	} {
		if f.missing {
			return s, refused(codeRequired, "%s in body is required", f.name)
		}
	}
	if len(p.Matchers) == 0 {
		return s, refused(codeTooFew, "matchers in body should have at least 1 items")
	}
	s = alertd.Silence{ID: p.ID, CreatedBy: *p.CreatedBy, Comment: *p.Comment, Recurs: p.Recurs, UntilResolved: p.UntilResolved}
	if s.StartsAt, err = parseTime(*p.StartsAt); err != nil {
		return s, refused(http.StatusBadRequest, "startsAt in body: %v", err)
	}
	if s.EndsAt, err = parseTime(*p.EndsAt); err != nil {
		return s, refused(http.StatusBadRequest, "endsAt in body: %v", err)
	}
	// As precise as it is shown: who changes a silence sends its beginning back, which must be the same.
	s.StartsAt, s.EndsAt = s.StartsAt.Truncate(time.Millisecond), s.EndsAt.Truncate(time.Millisecond)
	if s.Matchers, err = readMatchers("matchers", p.Matchers); err != nil {
		return s, err
	}
	for i, set := range p.Or {
		or, err := readMatchers(fmt.Sprintf("or.%d", i), set)
		if err != nil {
			return s, err
		}
		s.Or = append(s.Or, or)
	}
	if _, err := s.Compile(); err != nil {
		return s, fmt.Errorf("silence %w: %w", alertd.ErrInvalid, err)
	}
	if len(p.Annotations) > 0 {
		b := labels.NewScratchBuilder(len(p.Annotations))
		for _, name := range slices.Sorted(maps.Keys(p.Annotations)) {
			b.Add(name, p.Annotations[name])
		}
		s.Annotations = b.Labels()
	}
	return s, nil
}

// readMatchers reads one set. The name is for errors.
func readMatchers(name string, set []postableMatcher) ([]alertd.Matcher, error) {
	out := make([]alertd.Matcher, len(set))
	for i, m := range set {
		switch {
		case m.IsRegex == nil:
			return nil, refused(codeRequired, "%s.%d.isRegex in body is required", name, i)
		case m.Name == nil:
			return nil, refused(codeRequired, "%s.%d.name in body is required", name, i)
		case m.Value == nil:
			return nil, refused(codeRequired, "%s.%d.value in body is required", name, i)
		}
		out[i] = alertd.Matcher{Name: *m.Name, Value: *m.Value, IsRegex: *m.IsRegex, IsEqual: m.IsEqual == nil || *m.IsEqual}
	}
	return out, nil
}

func (a *api) getSilence(w http.ResponseWriter, r *http.Request) error {
	id, err := silenceID(r)
	if err != nil {
		return err
	}
	all, err := a.o.State.Silences(r.Context())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(s alertd.SilenceView) bool { return s.ID == id })
	if i < 0 {
		return empty(http.StatusNotFound)
	}
	writeJSON(w, http.StatusOK, shown(&all[i]))
	return nil
}

func (a *api) deleteSilence(w http.ResponseWriter, r *http.Request) error {
	id, err := silenceID(r)
	if err != nil {
		return err
	}
	if err := a.o.State.ExpireSilence(r.Context(), id, alertd.Caller(r.RemoteAddr, r.UserAgent())); err != nil {
		if f := a.public(r, err); f.status != http.StatusNotFound {
			return f
		}
		return empty(http.StatusNotFound)
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$`)

// silenceID is the one in the path.
func silenceID(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !uuid.MatchString(id) {
		return "", refused(codeType, "silenceID in path must be of type uuid: %.100q", id)
	}
	return id, nil
}
