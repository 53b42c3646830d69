package web

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"alertd"
	"alertd/router"
)

// Silences are what people make to keep alerts quiet for a time.
type Silences interface {
	// Silences are all, those that expired and are still kept included.
	Silences(ctx context.Context) ([]alertd.SilenceView, error)
	// MakeSilence makes one. One that is too broad is refused unless it is forced.
	MakeSilence(ctx context.Context, s alertd.Silence, by alertd.Actor, force bool) (id string, err error)
	// PreviewSilence says what one would hide.
	PreviewSilence(ctx context.Context, s alertd.Silence) (alertd.SilencePreview, error)
	// ExpireSilence ends one now.
	ExpireSilence(ctx context.Context, id string, by alertd.Actor) error
}

// Bounds of the pages about silences.
const (
	maxSilences = 200
	maxListed   = 8
)

// SilencePages returns the pages about silences: /silences/ lists them, /silences/ID shows one, /silences/new is the form for
// one, filled in by the parameters that [alertd.SilencePath] makes. What they post must be kept from other sites' pages by whoever serves
// them, as [http.CrossOriginProtection] does.
func SilencePages(o Options) http.Handler {
	o.defaults()
	p := silencePages{o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /silences/{$}", p.list)
	mux.HandleFunc("GET /silences/{id}", p.single)
	mux.HandleFunc("GET /silences/new", p.blank)
	mux.HandleFunc("POST /silences/new", p.posted)
	mux.HandleFunc("POST /silences/expire", p.expire)
	return mux
}

type silencePages struct{ Options }

// silencesView is the list in words.
type silencesView struct {
	Style   template.CSS
	Icon    template.URL
	Version string
	Now     moment
	Error   string
	Single  bool // one is shown, not all
	Lists   []silenceList
	Hidden  int // silences that are not shown
}

type silenceList struct {
	ID, Title string
	Rows      []silenceRow
}

type silenceRow struct {
	ID, Comment, By string
	Sets            []string
	When            string
	Ends            moment
	Hides           []string // what it hides now
	More            int
	Hid             string // what it hid, in words
	Warning         string
	Changes         []silenceHit // what was done to it after it was made
	Live            bool         // it can be ended
}

func (p *silencePages) list(w http.ResponseWriter, r *http.Request) {
	v, status := p.listed(r.Context(), "")
	render(w, p.Log, "silences.html", status, v)
}

// single shows one silence, whatever became of it. Links that were made for Alertmanager lead here.
func (p *silencePages) single(w http.ResponseWriter, r *http.Request) {
	v, status := p.listed(r.Context(), r.PathValue("id"))
	render(w, p.Log, "silences.html", status, v)
}

// listed is the list, or, where an id is given, that silence alone.
func (p *silencePages) listed(ctx context.Context, id string) (silencesView, int) {
	s := seen{now: p.Now(), zone: p.Zone}
	v := silencesView{Style: template.CSS(style), Icon: icons["ok"], Version: p.Version, Now: s.moment(s.now, "")} //nolint:gosec // our own file
	all, err := p.Silences.Silences(ctx)
	if err != nil {
		v.Error = p.public("silences", err)
		return v, http.StatusServiceUnavailable
	}
	if id != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(s alertd.SilenceView) bool { return s.ID != id })
		if v.Single = true; len(all) == 0 {
			v.Error = "There is no such silence, or none any more: what is over is kept for some days."
			return v, http.StatusNotFound
		}
	}
	slices.SortFunc(all, alertd.ByUrgency)
	if len(all) > maxSilences {
		all, v.Hidden = all[:maxSilences], len(all)-maxSilences
	}
	v.Lists = []silenceList{{ID: "active", Title: "In force"}, {ID: "recurring", Title: "Recurring"}, {ID: "pending", Title: "To come"}, {ID: "expired", Title: "Over"}}
	for i := range all {
		at := map[alertd.SilenceState]int{alertd.SilenceActive: 0, alertd.SilencePending: 2, alertd.SilenceExpired: 3}[all[i].State]
		if all[i].Recurs != nil && at != 3 {
			at = 1
		}
		v.Lists[at].Rows = append(v.Lists[at].Rows, s.silence(&all[i]))
	}
	return v, http.StatusOK
}

// maxQuiet bounds the silences on the dashboard.
const maxQuiet = 8

// quiet are the silences in force, those that match nothing first, and how many more there are.
func (s *seen) quiet() (rows []silenceRow, more int) {
	active := slices.DeleteFunc(slices.Clone(s.silences), func(sv alertd.SilenceView) bool { return sv.State != alertd.SilenceActive })
	slices.SortFunc(active, func(a, b alertd.SilenceView) int {
		if a.Idle != b.Idle {
			if a.Idle {
				return -1
			}
			return 1
		}
		return alertd.ByUrgency(a, b)
	})
	for i := range active[:min(len(active), maxQuiet)] {
		rows = append(rows, s.silence(&active[i]))
	}
	return rows, len(active) - len(rows)
}

func (s *seen) silence(sv *alertd.SilenceView) silenceRow {
	row := silenceRow{
		ID: sv.ID, Comment: clip(sv.Comment, maxProse), By: clip(sv.CreatedBy, maxChip), Ends: s.moment(sv.EndsAt, ""),
		Live: sv.State != alertd.SilenceExpired,
	}
	for _, set := range append([][]alertd.Matcher{sv.Matchers}, sv.Or...) {
		row.Sets = append(row.Sets, clip(matchers(set), maxProse))
	}
	switch until := s.moment(sv.Until, "").Text; {
	case sv.State == alertd.SilenceExpired:
		row.When = "ended"
	case sv.Recurs != nil && sv.State == alertd.SilenceActive:
		row.When = fmt.Sprintf("%s; in force until %s, the last time before", sv.Recurs, until)
	case sv.Recurs != nil:
		row.When = fmt.Sprintf("%s; next %s, the last time before", sv.Recurs, until)
	case sv.State == alertd.SilencePending:
		row.When = fmt.Sprintf("from %s until", until)
	case sv.UntilResolved:
		row.When = "until what fired at its beginning is over, at the latest"
	default:
		row.When = "until"
	}
	for _, h := range sv.Hides {
		if len(row.Hides) == maxListed {
			row.More = len(sv.Hides) - maxListed
			break
		}
		row.Hides = append(row.Hides, named(h))
	}
	if n := len(sv.Hid) + sv.More; n > 0 {
		row.Hid = "kept " + plural(n, "alert", "alerts") + " from being told: " + few(sv.Hid, sv.More)
	}
	for i := range sv.Changes {
		if c := &sv.Changes[i]; c.Act != alertd.SilenceMade {
			text := c.Tell(func(t time.Time) string { return s.moment(t, "").Text })
			row.Changes = append(row.Changes, silenceHit{"other", clip(text, maxProse), s.moment(c.At, "")})
		}
	}
	switch {
	case sv.Idle && sv.Last.IsZero():
		row.Warning = "Matches nothing: it has hidden nothing since it began."
	case sv.Idle:
		row.Warning = "Matches nothing: it has hidden nothing since " + s.moment(sv.Last, "").Text + "."
	case sv.Broad != "":
		row.Warning = "Broad: " + clip(sv.Broad, maxProse) + "."
	}
	return row
}

func named(h alertd.Hidden) string {
	return clip(strings.TrimSpace(h.Alert+" "+h.Service), maxChip)
}

// few names the first of a list.
func few(list []alertd.Hidden, more int) string {
	var names []string
	for _, h := range list[:min(len(list), maxListed)] {
		names = append(names, named(h))
	}
	text := strings.Join(names, ", ")
	if more += len(list) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func matchers(set []alertd.Matcher) string {
	text := make([]string, len(set))
	for i, m := range set {
		text[i] = m.String()
	}
	return strings.Join(text, ", ")
}

// silenceForm is the form in words, and what its answer was.
type silenceForm struct {
	Style   template.CSS
	Icon    template.URL
	Version string
	Now     moment

	Filter, Comment, Author, Duration string
	UntilResolved                     bool
	Cron, Zone                        string
	Error                             string
	Preview                           *silencePreview
}

type silencePreview struct {
	Hides         []silenceHit
	N, More, Of   int
	Broad         string
	Paged, Others string // how many notifications, "" for none
	Pages         []silenceHit
	Since         moment
}

// silenceHit is an alert that would be hidden, or a notification that would have been.
type silenceHit struct {
	Level, Text string
	Time        moment
}

// blank shows the form. Where a link filled it in, it shows at once what the silence would hide.
func (p *silencePages) blank(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f := p.form()
	f.Filter, f.Comment, f.Author = strings.Join(q["filter"], "\n"), q.Get("comment"), q.Get("createdBy")
	if d := q.Get("duration"); d != "" {
		f.Duration = d
	}
	status := http.StatusOK
	if f.Filter != "" {
		status = p.preview(r.Context(), &f)
	}
	render(w, p.Log, "silence.html", status, f)
}

func (p *silencePages) form() silenceForm {
	s := seen{now: p.Now(), zone: p.Zone}
	return silenceForm{
		Style: template.CSS(style), Icon: icons["ok"], Version: p.Version, Now: s.moment(s.now, ""), //nolint:gosec // our own file
		Duration: "2h", Zone: "UTC",
	}
}

// posted previews or makes what the form says.
func (p *silencePages) posted(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form could not be read; go back and send it again", http.StatusBadRequest)
		return
	}
	f := p.form()
	f.Filter, f.Comment, f.Author = r.PostForm.Get("filter"), strings.TrimSpace(r.PostForm.Get("comment")), strings.TrimSpace(r.PostForm.Get("createdBy"))
	f.Duration, f.Cron, f.Zone = r.PostForm.Get("duration"), strings.TrimSpace(r.PostForm.Get("cron")), r.PostForm.Get("zone")
	f.UntilResolved = r.PostForm.Has("until_resolved")
	if r.PostForm.Get("do") != "make" {
		render(w, p.Log, "silence.html", p.preview(r.Context(), &f), f)
		return
	}
	s, err := f.silence(p.Now())
	switch {
	case err != nil:
	case f.Comment == "":
		err = fmt.Errorf("%w: the comment is missing: say why, for those who find the silence", alertd.ErrInvalid)
	case f.Author == "":
		err = fmt.Errorf("%w: say who makes the silence", alertd.ErrInvalid)
	default:
		_, err = p.Silences.MakeSilence(r.Context(), s, alertd.Actor{By: f.Author, From: alertd.FromWeb, Client: alertd.Client(alertd.FromWeb, r.RemoteAddr, "")}, r.PostForm.Has("force"))
	}
	if err == nil {
		seeList(w)
		return
	}
	status := p.preview(r.Context(), &f)
	if f.Error == "" {
		f.Error, status = p.public("the silence", err), http.StatusBadRequest
	}
	render(w, p.Log, "silence.html", status, f)
}

// preview looks at what the silence of the form would hide, and returns the status of the answer.
func (p *silencePages) preview(ctx context.Context, f *silenceForm) int {
	s, err := f.silence(p.Now())
	if err != nil {
		f.Error = p.public("the silence", err)
		return http.StatusBadRequest
	}
	found, err := p.Silences.PreviewSilence(ctx, s)
	if err != nil {
		f.Error = p.public("the preview", err)
		if errors.Is(err, alertd.ErrInvalid) {
			return http.StatusBadRequest
		}
		return http.StatusServiceUnavailable
	}
	sees := seen{now: p.Now(), zone: p.Zone}
	v := &silencePreview{N: len(found.Hides), Of: found.Firing, Broad: clip(found.Broad, maxProse), Since: sees.moment(found.Since, "")}
	for _, h := range found.Hides {
		if len(v.Hides) == 5*maxListed {
			v.More = len(found.Hides) - len(v.Hides)
			break
		}
		v.Hides = append(v.Hides, silenceHit{levelOf(h.Severity), named(h), sees.moment(h.Since, "")})
	}
	if found.Paged > 0 {
		v.Paged = plural(found.Alerts, "alert", "alerts") + ", in " + plural(found.Paged, "notification", "notifications")
	}
	if found.Thin > 0 {
		v.Others = plural(found.Thin, "other", "others")
	}
	for _, page := range found.Pages {
		text := "to " + clip(page.Receiver, maxChip) + ": " + few(page.Hides, 0)
		if !page.Whole {
			text += fmt.Sprintf(", of %d that it told", page.Of)
		}
		v.Pages = append(v.Pages, silenceHit{"other", text, sees.moment(page.Time, "")})
	}
	f.Preview = v
	return http.StatusOK
}

// year is how long a silence that recurs does so.
const year = 365 * 24 * time.Hour

// silence is what the form asks for. Each line of the filter is a set of matchers.
func (f *silenceForm) silence(now time.Time) (s alertd.Silence, err error) {
	s = alertd.Silence{StartsAt: now, CreatedBy: f.Author, Comment: f.Comment, UntilResolved: f.UntilResolved}
	for line := range strings.Lines(f.Filter) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		set, err := router.ParseMatchers(strings.TrimSpace(line))
		switch {
		case err != nil:
			return s, fmt.Errorf("%w: %w", alertd.ErrInvalid, err)
		case s.Matchers == nil:
			s.Matchers = set
		default:
			s.Or = append(s.Or, set)
		}
	}
	if s.Matchers == nil {
		return s, fmt.Errorf("%w: a silence needs at least one matcher", alertd.ErrInvalid)
	}
	d, err := model.ParseDuration(f.Duration)
	if err != nil || d <= 0 {
		return s, fmt.Errorf("%w: %q is not a duration; write 30m, 2h or 1d12h", alertd.ErrInvalid, clip(f.Duration, maxChip))
	}
	s.EndsAt = now.Add(time.Duration(d))
	if f.Cron != "" {
		s.Recurs, s.EndsAt = &alertd.Recurrence{Cron: f.Cron, Duration: d, Zone: f.Zone}, now.Add(year)
	}
	return s, nil
}

func (p *silencePages) expire(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	by := alertd.Actor{
		By: strings.TrimSpace(r.PostFormValue("by")), From: alertd.FromWeb, Why: strings.TrimSpace(r.PostFormValue("why")),
		Client: alertd.Client(alertd.FromWeb, r.RemoteAddr, ""),
	}
	err := fmt.Errorf("%w: say who ends the silence", alertd.ErrInvalid)
	if by.By != "" {
		err = p.Silences.ExpireSilence(r.Context(), r.PostFormValue("id"), by)
	}
	if err != nil {
		v, _ := p.listed(r.Context(), "")
		v.Error = p.public("the silence", err)
		render(w, p.Log, "silences.html", http.StatusConflict, v)
		return
	}
	seeList(w)
}

// seeList leads to the list. The address stays relative, whatever prefix alertd is served below.
func seeList(w http.ResponseWriter) {
	w.Header().Set("Location", "./")
	w.WriteHeader(http.StatusSeeOther)
}

// public is what may be said of err. What may not is logged.
func (p *silencePages) public(what string, err error) string {
	for _, known := range []error{alertd.ErrInvalid, alertd.ErrNotFound, alertd.ErrStandby} {
		if errors.Is(err, known) {
			return clip(strings.TrimPrefix(err.Error(), alertd.ErrInvalid.Error()+": "), maxProse)
		}
	}
	p.Log.Error("page about silences: failed", "what", what, "err", err)
	return what + " could not be read or set; alertd's log has the reason"
}
