package web

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"alertd"
	"alertd/history"
	"alertd/router"
)

// maxFilter bounds a filter, in bytes of the address. It is matched against every alert.
const maxFilter = 8 << 10

// filter is what a reader wants to see of the alerts: the parameters of the address, in Alertmanager's words.
type filter struct {
	On          bool   // it hides something, or could
	Paused      bool   // the page holds still; that belongs to the address, too
	Text        string // the matchers as they stand in the line
	Problem     string // why it cannot be applied; everything is shown then
	Only        []only // what else narrows it
	Keep        []param
	Shown, Of   int    // alerts
	All, Resume string // addresses: without a filter; with it, the other way of Paused

	match    alertd.Match
	receiver *regexp.Regexp // nil: any
	hides    map[string]bool
	id       string                      // of a notification; "": any
	among    map[alertd.Fingerprint]bool // nil: any
}

// only is something besides the matchers that narrows what is shown, and the address without it.
type only struct{ Text, Without string }

type param struct{ Name, Value string }

// hidable are the parameters that hide alerts where they say false: by what keeps them from being told.
var hidable = []struct{ name, text string }{
	{"active", "not those that are told"}, {"silenced", "not the silenced ones"}, {"inhibited", "not those that another one hides"},
}

// readFilter takes from the address what narrows the alerts. What it does not know it leaves alone: links made for
// Alertmanager say more.
func readFilter(q url.Values) *filter {
	f := &filter{Paused: q.Get("refresh") == "off", hides: map[string]bool{}, id: q.Get("notification")}
	known := url.Values{}
	if f.Paused {
		known.Set("refresh", "off")
	}
	f.All = address(known)
	for _, text := range q["filter"] {
		if strings.Trim(text, "{} \t\r\n") != "" {
			known.Add("filter", text)
		}
	}
	if v := q.Get("receiver"); v != "" {
		known.Set("receiver", v)
	}
	for _, h := range hidable {
		if q.Get(h.name) == "false" {
			known.Set(h.name, "false")
			f.hides[h.name] = true
		}
	}
	if f.id != "" {
		known.Set("notification", f.id)
	}
	err := f.compile(known)
	if err != nil {
		f.Problem = clip(err.Error(), maxProse)
	}
	f.On = err == nil && (len(known) > 1 || len(known) == 1 && !f.Paused)
	for _, name := range []string{"receiver", "active", "silenced", "inhibited", "notification", "refresh"} {
		if v := known.Get(name); v != "" {
			f.Keep = append(f.Keep, param{name, v})
		}
	}
	f.narrowed(known)
	resume := url.Values{"refresh": {"off"}}
	if f.Paused {
		resume = url.Values{}
	}
	for name, v := range known {
		if name != "refresh" {
			resume[name] = v
		}
	}
	f.Resume = address(resume)
	return f
}

// compile prepares the matchers and the receiver. The error is for the reader.
func (f *filter) compile(q url.Values) error {
	if n := len(q.Encode()); n > maxFilter {
		clear(q) // nor is it repeated in links
		return fmt.Errorf("the filter has %d bytes in the address, at most %d are read", n, maxFilter)
	}
	f.Text = strings.Join(q["filter"], ", ")
	var all []alertd.Matcher
	for _, text := range q["filter"] {
		ms, err := router.ParseMatchers(text)
		if err != nil {
			return err
		}
		all = append(all, ms...)
	}
	f.Text = matchers(all)
	var err error
	if f.match, err = alertd.CompileFilter(all); err != nil {
		return err
	}
	if v := q.Get("receiver"); v != "" {
		if f.receiver, err = regexp.Compile("^(?:" + v + ")$"); err != nil {
			return fmt.Errorf("receiver %q is not a regular expression: %w", v, err)
		}
	}
	return nil
}

// narrowed says in words what narrows the alerts besides matchers.
func (f *filter) narrowed(q url.Values) {
	add := func(name, text string) {
		rest := url.Values{}
		for n, v := range q {
			if n != name {
				rest[n] = v
			}
		}
		f.Only = append(f.Only, only{text, address(rest)})
	}
	if v := q.Get("receiver"); v != "" {
		add("receiver", "to "+clip(v, maxChip))
	}
	for _, h := range hidable {
		if f.hides[h.name] {
			add(h.name, h.text)
		}
	}
	if f.id != "" {
		add("notification", "of one message")
	}
}

func address(q url.Values) string {
	if len(q) == 0 {
		return "./"
	}
	return "./?" + q.Encode()
}

// resolve finds the alerts that the filter is about, where that does not follow from their labels. Where it cannot be known,
// everything is shown.
func (f *filter) resolve(ctx context.Context, o *Options, s *seen) error {
	if !f.On || f.receiver == nil && len(f.hides) == 0 && f.id == "" {
		return nil
	}
	groups, err := o.State.Groups(ctx)
	if err != nil {
		f.give("who is told is not known now")
		return err
	}
	var told *history.Message
	if f.id != "" {
		if told, err = f.message(ctx, o, s); told == nil {
			return err
		}
	}
	f.among = map[alertd.Fingerprint]bool{}
	for i := range groups {
		for j := range groups[i].Alerts {
			if st := &groups[i].Alerts[j]; f.stands(&groups[i], st, told) {
				f.among[st.Fingerprint] = true
			}
		}
	}
	return nil
}

// message is the one that the filter names, nil where there is none.
func (f *filter) message(ctx context.Context, o *Options, s *seen) (*history.Message, error) {
	if o.History == nil {
		f.give("there is no history, which knows what the message was about")
		return nil, nil
	}
	m, err := o.History.Message(ctx, f.id)
	switch {
	case errors.Is(err, alertd.ErrNotFound):
		f.give("the history knows no such message (any more)")
		return nil, nil
	case err != nil:
		f.give("the history could not be read, which knows what the message was about")
		return nil, err
	}
	kind, about := "message", plural(len(m.Alerts), "alert", "alerts")
	switch {
	case m.Summary:
		kind, about = "summary", plural(len(m.Groups), "group", "groups")+", "+about
	case m.Digest:
		kind = "digest"
	}
	f.Only[len(f.Only)-1].Text = fmt.Sprintf("told in the %s to %s at %s: %s", kind, clip(m.Receiver, maxChip), s.moment(m.Time, "").Text, about)
	return &m, nil
}

// give gives the filter up, for a reason.
func (f *filter) give(why string) { f.On, f.Problem = false, why+"; all alerts are shown" }

// stands reports whether an alert is to be seen for how it stands in a group.
func (f *filter) stands(g *alertd.GroupView, st *alertd.Standing, told *history.Message) bool {
	silenced, inhibited := len(st.SilencedBy) > 0, len(st.InhibitedBy) > 0
	switch {
	case f.receiver != nil && !f.receiver.MatchString(g.Receiver):
		return false
	case f.hides["active"] && !silenced && !inhibited, f.hides["silenced"] && silenced, f.hides["inhibited"] && inhibited:
		return false
	case told == nil:
		return true
	}
	_, spoken := slices.BinarySearch(told.Alerts, st.Fingerprint)
	_, joined := slices.BinarySearch(told.Groups, g.Key) // also what the message had no room for, or what came later
	return spoken || joined && !silenced && !inhibited
}

// shows reports whether an alert is to be seen.
func (f *filter) shows(a *alertd.Alert) bool {
	return !f.On || f.match.Matches(a.Labels) && (f.among == nil || f.among[a.Fingerprint])
}

// waits reports whether what waits is to be seen.
func (f *filter) waits(h *alertd.Held) bool {
	return f.shows(&h.Alert) && (!f.On || f.receiver == nil || f.receiver.MatchString(h.Receiver))
}

// Hidden is how many alerts are not shown.
func (f *filter) Hidden() int { return f.Of - f.Shown }
