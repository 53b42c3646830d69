package runbooks

import (
	"net/url"
	"strings"

	"go.yaml.in/yaml/v3"

	"alertd"
)

const (
	maxDashboards = 5    // of one runbook: they stand in a page in one line
	maxURL        = 2000 // bytes
)

// DashboardTitle is what a dashboard is called that has no title.
const DashboardTitle = "Dashboard"

// Dashboard is where an alert can be looked at. In the file it is an address, or "TITLE: ADDRESS".
type Dashboard struct {
	Title        string
	URL          string // http or https; below the host it may say {{ $labels.NAME }}
	Line, Column int    // in the file, from 1
}

// UnmarshalYAML implements [yaml.Unmarshaler]. What is wrong is found later, with all other mistakes in the file.
func (d *Dashboard) UnmarshalYAML(n *yaml.Node) error {
	*d = Dashboard{Title: DashboardTitle, Line: n.Line, Column: n.Column}
	switch {
	case n.Kind == yaml.ScalarNode:
		d.URL = n.Value
	case n.Kind == yaml.MappingNode && len(n.Content) == 2:
		d.Title, d.URL = n.Content[0].Value, n.Content[1].Value
	}
	return nil
}

// problem says what is wrong, and what to write; "" if nothing is.
func (d *Dashboard) problem() string {
	origin, _ := d.split()
	u, err := url.Parse(placeholder.ReplaceAllString(d.URL, "x"))
	switch {
	case d.URL == "":
		return `want an address, or "TITLE: ADDRESS"`
	case strings.TrimSpace(d.Title) == "":
		return "the title is empty: write what the dashboard shows"
	case len(d.URL) > maxURL:
		return "the address is too long for a link: give the dashboard a short one"
	case strings.Contains(origin, "{{"):
		return "a label cannot say which server is linked: write the host out"
	case strings.Contains(placeholder.ReplaceAllString(d.URL, ""), "{{"):
		return "only {{ $labels.NAME }} can stand in an address"
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil:
		return "no link that a browser opens: write https://HOST/…"
	}
	return ""
}

// split cuts the scheme and the host from the rest.
func (d *Dashboard) split() (origin, rest string) {
	start := strings.Index(d.URL, "://") + len("://")
	if start < len("://") {
		return "", d.URL
	}
	end := strings.IndexAny(d.URL[start:], "/?#")
	if end < 0 {
		return d.URL, ""
	}
	return d.URL[:start+end], d.URL[start+end:]
}

// Probe is the address to try whether the dashboard is there: without what only an alert can say. It is "" where that is part
// of the path.
func (d *Dashboard) Probe() string {
	page, _, _ := strings.Cut(d.URL, "#")
	if path, query, _ := strings.Cut(page, "?"); placeholder.MatchString(query) {
		page = path
	}
	if placeholder.MatchString(page) {
		return ""
	}
	return page
}

// Links are the runbook's dashboards for an alert. Its labels are escaped where they stand in an address; one that it does not
// have is nothing there.
func (rb *Runbook) Links(about alertd.Labels) []alertd.Link {
	var out []alertd.Link
	for i := range rb.Dashboards {
		d := &rb.Dashboards[i]
		origin, rest := d.split()
		rest = placeholder.ReplaceAllStringFunc(rest, func(found string) string {
			value := about.Get(placeholder.FindStringSubmatch(found)[1])
			return strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
		})
		if u := origin + rest; len(u) <= maxURL {
			out = append(out, alertd.Link{Title: d.Title, URL: u})
		}
	}
	return out
}
