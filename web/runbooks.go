package web

import (
	"html/template"
	"log/slog"
	"net/http"
	"net/url"

	"alertd/runbooks"
)

// Runbooks returns the pages that runbook links lead to: /runbooks/NAME for one (the path value "name", see
// [http.Request.PathValue]), the list where there is no name. index is asked for each request, so that a reload
// shows at once; log may be nil.
func Runbooks(index func() *runbooks.Index, log *slog.Logger) http.Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		v := book{Style: template.CSS(style)} //nolint:gosec // our own file
		ix := index()
		if name == "" {
			v.Title, v.List = "Runbooks", list(ix)
			render(w, log, "runbook.html", http.StatusOK, v)
			return
		}
		rb, ok := ix.Find(name)
		if !ok {
			v.Title, v.List = "There is no runbook "+clip(name, maxChip), list(ix)
			render(w, log, "runbook.html", http.StatusNotFound, v)
			return
		}
		body, err := runbooks.HTML(rb)
		if err != nil {
			log.Error("runbook failed", "runbook", rb.Alert, "err", err)
			v.Title = rb.Title + " cannot be shown; alertd's log has the reason"
			render(w, log, "runbook.html", http.StatusInternalServerError, v)
			return
		}
		v.Title, v.Owner, v.Body = rb.Title, rb.Owner, body
		render(w, log, "runbook.html", http.StatusOK, v)
	})
}

// book is a runbook's page, or the list of all.
type book struct {
	Style        template.CSS
	Title, Owner string
	Body         template.HTML
	List         []bookLink
}

type bookLink struct{ Name, Title, Path string }

func list(ix *runbooks.Index) []bookLink {
	var out []bookLink
	for _, rb := range ix.All() {
		title := rb.Title
		if title == rb.Alert {
			title = ""
		}
		out = append(out, bookLink{rb.Alert, title, "./" + url.PathEscape(rb.Alert)})
	}
	return out
}
