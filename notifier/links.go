package notifier

import (
	"net/url"
	"strings"
	"unicode"

	"alertd"
)

// Runbook is the URL of an alert's runbook, "" where there is none that may be linked.
func Runbook(a *alertd.Alert) string {
	if u := Link(a.RunbookURL); u != "" {
		return u
	}
	return Link(a.Annotations.Get(alertd.AnnotationRunbook))
}

// Dashboards are where an alert can be looked at, those that may be linked.
func Dashboards(a *alertd.Alert) (out []alertd.Link) {
	for _, d := range a.Dashboards {
		if d.URL = Link(d.URL); d.URL != "" {
			out = append(out, d)
		}
	}
	return out
}

// SilenceLink is where a silence for what a notification tells as firing can be made, filled in. "" where nothing fires,
// alertd has no page, or a summary only counts what fires.
func SilenceLink(n *alertd.Notification, external string) string {
	firing, _ := Split(n)
	base, err := url.Parse(external)
	if err != nil || external == "" || len(firing) == 0 || n.Summary != nil {
		return ""
	}
	all := make([]alertd.Labels, len(firing))
	for i := range firing {
		all[i] = firing[i].Labels
	}
	path, query, _ := strings.Cut(alertd.SilencePath(all...), "?")
	base = base.JoinPath(path)
	base.RawQuery = query
	return Link(base.String())
}

// Trace is where an alert's trace is: a URL, or, where nobody keeps the trace or no URL is configured, its id as text.
func Trace(a *alertd.Alert) (link, id string) {
	id = Line(a.Trace.TraceID, 32)
	if a.Trace.Unsampled || a.TraceLost {
		return "", id
	}
	return Link(a.TraceURL), id
}

// TraceNote says beside a trace what it shows, in brackets: " (took 5.2 s)"; "" where that is not known.
func TraceNote(a *alertd.Alert) string {
	if note := Line(a.TraceNote, 60); note != "" {
		return " (" + note + ")"
	}
	return ""
}

// WhyNoTrace says beside a trace id why it is not a link.
func WhyNoTrace(a *alertd.Alert) string {
	switch {
	case a.Trace.Unsampled:
		return "not sampled"
	case a.TraceLost:
		return "not stored by the tracing back-end"
	}
	return "no trace URL configured"
}

// AckLink is the page on which people take what a notification tells: the one alert that fires, or all of its group; for a
// digest or a summary, which is about many groups, the list of those, where each can be taken. It is "" where alertd's
// own page is not known, and where nothing fires or somebody has all of it.
func AckLink(n *alertd.Notification, external string) string {
	firing, _ := Split(n)
	switch {
	case len(firing) == 0 || AllTaken(n):
		return ""
	case len(n.Alerts)+n.Truncated == 1:
		return ackPage(external, "alert", firing[0].Fingerprint.String())
	case n.Collective():
		return HomeLink(n, external)
	}
	return ackPage(external, "group", string(n.Group))
}

// HomeLink is where alertd shows what a notification is about: the page of its one alert, or the list of the alerts of its
// groups. "" where alertd's own page is not known.
func HomeLink(n *alertd.Notification, external string) string {
	base, err := url.Parse(external)
	if err != nil || external == "" {
		return ""
	}
	if len(n.Alerts)+n.Truncated == 1 {
		return Link(base.JoinPath("alerts", n.Alerts[0].Fingerprint.String()).String())
	}
	list := base.JoinPath("/")
	if n.ID != "" { // a draft is no message yet
		list.RawQuery = url.Values{"notification": {n.ID}}.Encode()
	}
	return Link(list.String())
}

// ackPage is where people take what a parameter names, "" where alertd's own page is not known.
func ackPage(external, name, value string) string {
	base, err := url.Parse(external)
	if err != nil || external == "" {
		return ""
	}
	page := base.JoinPath("ack")
	page.RawQuery = url.Values{name: {value}}.Encode()
	return Link(page.String())
}

const maxLink = 2000

// Link returns u if it may be shown as a link: absolute, http or https, at most 2000 bytes long, without
// characters that would end it early in Slack or in a terminal. Otherwise "".
func Link(u string) string {
	u = strings.TrimSpace(u)
	if u == "" || len(u) > maxLink {
		return ""
	}
	p, err := url.Parse(u)
	if err != nil || (p.Scheme != "http" && p.Scheme != "https") || p.Host == "" {
		return ""
	}
	u = linkEscaper.Replace(p.String())
	if len(u) > maxLink || strings.ContainsFunc(u, func(r rune) bool { return r > unicode.MaxASCII || unicode.IsControl(r) }) {
		return ""
	}
	return u
}

var linkEscaper = strings.NewReplacer("|", "%7C", "<", "%3C", ">", "%3E", `"`, "%22", "`", "%60", " ", "%20", "\\", "%5C")
