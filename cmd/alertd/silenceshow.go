package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"alertd"
)

type silencePreviewCmd struct {
	daemonFlags
	outputFlags
	silenceFlags
}

// Run shows what the silence would hide. Nothing is changed.
func (c *silencePreviewCmd) Run(ctx context.Context, std streams) error {
	s, err := c.silence(time.Now())
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.ask(ctx, http.MethodPost, "/api/v1/silences/preview", nil, s, &raw); err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(std.out, raw)
	}
	var p alertd.SilencePreview
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	return tellPreview(std.out, &p, localClock())
}

func tellPreview(w io.Writer, p *alertd.SilencePreview, local clock) error {
	if p.Broad != "" {
		fmt.Fprintf(w, "Too broad? %s.\n\n", capital(printable(p.Broad)))
	}
	switch {
	case len(p.Hides) > 0:
		fmt.Fprintf(w, "Of %s that fire it would hide %d:\n", count(p.Firing, "alert"), len(p.Hides))
		if err := hiddenTable(p.Hides, local).write(w); err != nil {
			return err
		}
	case p.Firing == 0:
		fmt.Fprintln(w, "Nothing fires now.")
	default:
		fmt.Fprintf(w, "Of %s that fire it would hide none.\n", count(p.Firing, "alert"))
	}
	if p.Paged+p.Thin == 0 {
		fmt.Fprintf(w, "\nSince %s it would have hidden nothing that was told.\n", local.show(p.Since))
		return nil
	}
	fmt.Fprintf(w, "\nSince %s it would have hidden %s: %s not sent", local.show(p.Since), count(p.Alerts, "alert"), count(p.Paged, "notification"))
	if p.Thin > 0 {
		fmt.Fprintf(w, ", %s shorter", count(p.Thin, "other"))
	}
	fmt.Fprintln(w, ".")
	t := table{head: []string{local.head("TIME"), "RECEIVER", "HIDDEN", "ALERTS"}}
	for _, page := range p.Pages {
		hidden := "all"
		if !page.Whole {
			hidden = fmt.Sprintf("some of %d", page.Of)
		}
		var names []string
		for _, h := range page.Hides {
			names = append(names, strings.TrimSpace(h.Alert+" "+h.Service))
		}
		t.add(local.show(page.Time), page.Receiver, hidden, strings.Join(names, ", "))
	}
	return t.write(w)
}

func hiddenTable(list []alertd.Hidden, local clock) *table {
	t := &table{head: []string{local.head("SINCE"), "SEVERITY", "ALERT", "SERVICE", "FINGERPRINT"}}
	for _, h := range list {
		t.add(local.show(h.Since), string(h.Severity), h.Alert, h.Service, h.Fingerprint.String())
	}
	return t
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

type silenceListCmd struct {
	daemonFlags
	outputFlags
	Expired bool `help:"Also those that are over, for five days."`
}

// Run lists the silences: those in force first, the next to end at the top.
func (c *silenceListCmd) Run(ctx context.Context, std streams) error {
	query := url.Values{}
	if c.Expired {
		query.Set("expired", "true")
	}
	var data struct {
		Silences []json.RawMessage `json:"silences"`
	}
	if err := c.get(ctx, "/api/v1/silences", query, &data); err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(std.out, nonNil(data.Silences))
	}
	items, err := decodeItems[alertd.SilenceView](data.Silences)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		fmt.Fprintln(std.err, "there is no silence")
		return nil
	}
	local := localClock()
	t := table{head: []string{"ID", local.head("ENDS"), "STATE", "HIDES", "HID", "BY", "MATCHERS", "COMMENT"}}
	for i := range items {
		s := &items[i]
		hides := fmt.Sprint(len(s.Hides))
		if s.Idle {
			hides = "nothing"
		}
		ends := s.EndsAt.In(local.zone).Format("2006-01-02 15:04")
		switch {
		case s.Recurs != nil:
			ends = "recurs: " + s.Recurs.Cron
		case s.UntilResolved && s.State == alertd.SilenceActive:
			ends = "when resolved"
		}
		t.add(shortID(s.ID), ends, string(s.State), hides, fmt.Sprint(len(s.Hid)+s.More), s.CreatedBy, matchersOf(&s.Silence), s.Comment)
	}
	if err := t.write(std.out); err != nil {
		return err
	}
	for i := range items {
		if s := &items[i]; s.Idle {
			fmt.Fprintf(std.err, "%s matches nothing: %s; end it with \"alertd silence expire %[1]s\"\n", shortID(s.ID), quietSince(s, local))
		}
	}
	return nil
}

// shortID is enough to name a silence by.
func shortID(id string) string { return id[:min(len(id), 8)] }

// find asks for the silence whose ID begins so.
func (f daemonFlags) find(ctx context.Context, id string) (raw json.RawMessage, s alertd.SilenceView, err error) {
	var data struct {
		Silences []json.RawMessage `json:"silences"`
	}
	if err := f.get(ctx, "/api/v1/silences", url.Values{"expired": {"true"}}, &data); err != nil {
		return nil, s, err
	}
	items, err := decodeItems[alertd.SilenceView](data.Silences)
	if err != nil {
		return nil, s, err
	}
	found := 0
	for i := range items {
		if items[i].ID == id {
			return data.Silences[i], items[i], nil
		}
		if id != "" && strings.HasPrefix(items[i].ID, id) {
			found++
			raw, s = data.Silences[i], items[i]
		}
	}
	switch found {
	case 1:
		return raw, s, nil
	case 0:
		return nil, s, &failure{err: fmt.Errorf("there is no silence %q", id), hint: "alertd silence list --expired"}
	default:
		return nil, s, &usageError{msg: fmt.Sprintf("%d silences begin with %q", found, id), hint: "give more of the ID; alertd silence list -o json has it whole"}
	}
}

// quietSince says since when a silence that is in force has hidden nothing.
func quietSince(s *alertd.SilenceView, local clock) string {
	if s.Last.IsZero() {
		return "in force since " + local.show(s.StartsAt) + ", it has hidden nothing"
	}
	return "it has hidden nothing since " + local.show(s.Last)
}

func matchersOf(s *alertd.Silence) string {
	sets := make([]string, 0, 1+len(s.Or))
	for _, set := range append([][]alertd.Matcher{s.Matchers}, s.Or...) {
		text := make([]string, len(set))
		for i, m := range set {
			text[i] = m.String()
		}
		sets = append(sets, strings.Join(text, ","))
	}
	return strings.Join(sets, " or ")
}

// life says when a silence is in force.
func life(s *alertd.SilenceView, local clock) string {
	var text string
	switch {
	case s.State == alertd.SilenceExpired:
		return "over since " + local.show(s.EndsAt)
	case s.State == alertd.SilencePending:
		text = "begins " + local.show(s.Until)
	default:
		text = "in force until " + local.show(s.Until)
	}
	switch {
	case s.Recurs != nil:
		text += "; recurs: " + s.Recurs.String() + ", the last time before " + local.show(s.EndsAt)
	case s.UntilResolved:
		text += fmt.Sprintf(" at the latest, over before that when what fired at its beginning is: %s", count(len(s.Awaits), "alert"))
	case s.State == alertd.SilencePending:
		text += ", ends " + local.show(s.EndsAt)
	}
	return text
}

func hidesNow(state alertd.SilenceState, hides []alertd.Hidden) string {
	switch {
	case state == alertd.SilencePending:
		return "it hides nothing yet"
	case len(hides) == 0:
		return "it matches nothing that fires now"
	case len(hides) == 1:
		return "it hides " + printable(strings.TrimSpace(hides[0].Alert+" "+hides[0].Service))
	default:
		return fmt.Sprintf("it hides %d alerts", len(hides))
	}
}

type silenceShowCmd struct {
	daemonFlags
	outputFlags
	ID string `arg:"" help:"Which one: the beginning of its ID." placeholder:"ID"`
}

// Run shows one silence.
func (c *silenceShowCmd) Run(ctx context.Context, std streams) error {
	raw, s, err := c.find(ctx, c.ID)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(std.out, raw)
	}
	local := localClock()
	fmt.Fprintf(std.out, "%s  %s\n", s.ID, printable(matchersOf(&s.Silence)))
	fmt.Fprintf(std.out, "  %s\n", capital(life(&s, local)))
	fmt.Fprintf(std.out, "  %s, by %s, changed %s\n", printable(s.Comment), printable(s.CreatedBy), local.show(s.UpdatedAt))
	for i := range s.Changes {
		fmt.Fprintf(std.out, "  %s  %s\n", local.show(s.Changes[i].At), printable(s.Changes[i].Tell(local.show)))
	}
	if s.Broad != "" {
		fmt.Fprintf(std.out, "  Broad: %s.\n", printable(s.Broad))
	}
	if s.Idle {
		fmt.Fprintf(std.out, "  Matches nothing: %s.\n", quietSince(&s, local))
	}
	for _, list := range []struct {
		title string
		items []alertd.Hidden
	}{{"Hides now", s.Hides}, {"Kept from being told", s.Hid}} {
		if len(list.items) == 0 {
			continue
		}
		fmt.Fprintf(std.out, "\n%s:\n", list.title)
		if err := hiddenTable(list.items, local).write(std.out); err != nil {
			return err
		}
	}
	if s.More > 0 {
		fmt.Fprintf(std.out, "and %d more\n", s.More)
	}
	return nil
}
