package web

import (
	"html/template"
	"net/http"
	"net/url"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/history"
	"alertd/runbooks"
)

// Runbooks returns the pages that runbook links lead to: /runbooks/NAME for one (the path value "name", see
// [http.Request.PathValue]), the list where there is no name. On top of a runbook stands when its alert fired last.
func Runbooks(o Options) http.Handler {
	o.defaults()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		v := book{Style: template.CSS(style), Icon: icons["ok"]} //nolint:gosec // our own file
		ix := o.Runbooks()
		if name == "" {
			v.Title = "Runbooks"
			v.list(ix)
			if o.RunbookProblems != nil {
				v.Problems = o.RunbookProblems()
			}
			render(w, o.Log, "runbook.html", http.StatusOK, v)
			return
		}
		rb, ok := ix.Find(name)
		if !ok {
			v.Title = "There is no runbook " + clip(name, maxChip)
			v.list(ix)
			render(w, o.Log, "runbook.html", http.StatusNotFound, v)
			return
		}
		s := seen{now: o.Now(), zone: o.Zone}
		about, firing := o.about(r, rb.Alert, &s)
		body, err := runbooks.HTML(rb, about)
		if err != nil {
			o.Log.Error("runbook failed", "runbook", rb.Alert, "err", err)
			v.Title = rb.Title + " cannot be shown; alertd's log has the reason"
			render(w, o.Log, "runbook.html", http.StatusInternalServerError, v)
			return
		}
		v.Title, v.Owner, v.Body, v.One, v.Firing = rb.Title, rb.Owner, body, true, firing
		v.Dashboards = dashboards(rb.Links(about))
		if v.Past, err = o.past(r.Context(), &s, history.Filter{Alert: rb.Alert}); err != nil {
			o.Log.Error("runbook page: the history failed", "err", err)
		}
		render(w, o.Log, "runbook.html", http.StatusOK, v)
	})
}

// about are the labels that the reader came for: those of the alert that the address names, else those that all alerts of
// the name share which fire now; and these alerts.
func (o *Options) about(r *http.Request, name string, s *seen) (alertd.Labels, []one) {
	if o.State == nil {
		return labels.EmptyLabels(), nil
	}
	all, err := o.State.Alerts(r.Context())
	if err != nil {
		o.Log.Error("runbook page: the alerts failed", "err", err)
	}
	var active []*alertd.Alert
	var firing []one
	for i := range all {
		a := &all[i]
		if a.Name() != name || !a.State.Active() {
			continue
		}
		if a.Fingerprint.String() == r.URL.Query().Get("alert") {
			return a.Labels, []one{s.one(a, nil)}
		}
		active = append(active, a)
		if len(firing) < maxUnfolded {
			firing = append(firing, s.one(a, nil))
		}
	}
	if len(active) == 0 {
		return labels.EmptyLabels(), nil
	}
	return labels.FromMap(common(active)), firing
}

// book is a runbook's page, or the list of all.
type book struct {
	Style        template.CSS
	Icon         template.URL
	Title, Owner string
	Lead         string // a sentence below the title
	Dashboards   []alertd.Link
	Body         template.HTML
	One          bool // a runbook's page
	Past         *past
	Firing       []one    // alerts that it is for
	Problems     []string // with runbooks
	List         []bookLink
	More         int // runbooks that are not listed
}

type bookLink struct{ Name, Title, Path string }

// maxBooks bounds the list of runbooks. Those that are not on it have their page all the same.
const maxBooks = 1000

func (v *book) list(ix *runbooks.Index) {
	all := ix.All()
	for _, rb := range all[:min(len(all), maxBooks)] {
		title := clip(rb.Title, maxChip)
		if rb.Title == rb.Alert {
			title = ""
		}
		v.List = append(v.List, bookLink{clip(rb.Alert, maxChip), title, "./" + url.PathEscape(rb.Alert)})
	}
	v.More = len(all) - len(v.List)
}
