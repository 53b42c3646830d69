package web

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// drawer keeps silences, and remembers what it was asked for.
type drawer struct {
	all   []alertd.SilenceView
	broad string
	asked []string
}

func (d *drawer) Silences(context.Context) ([]alertd.SilenceView, error) { return d.all, nil }

func (d *drawer) MakeSilence(_ context.Context, s alertd.Silence, by alertd.Actor, force bool) (string, error) {
	if d.broad != "" && !force {
		return "", fmt.Errorf("%w: the silence is too broad: %s", alertd.ErrInvalid, d.broad)
	}
	d.asked = append(d.asked, fmt.Sprint("make ", s.Matchers, s.Or, " for ", s.EndsAt.Sub(s.StartsAt), " by ", s.CreatedBy, " (", by, "): ", s.Comment, " ", s.UntilResolved, " ", s.Recurs))
	return "new", nil
}

func (d *drawer) PreviewSilence(_ context.Context, s alertd.Silence) (alertd.SilencePreview, error) {
	if _, err := s.Compile(); err != nil {
		return alertd.SilencePreview{}, fmt.Errorf("%w: %w", alertd.ErrInvalid, err)
	}
	hit := []alertd.Hidden{{Alert: "Down", Service: "<b>api", Severity: alertd.Critical, Since: now}}
	return alertd.SilencePreview{
		Hides: hit, Firing: 3, Broad: d.broad, Since: now.Add(-time.Hour), Paged: 1, Thin: 2, Alerts: 4,
		Pages: []alertd.HiddenPage{{Time: now, Receiver: "ops", Hides: hit, Of: 2}},
	}, nil
}

func (d *drawer) ExpireSilence(_ context.Context, id string, by alertd.Actor) error {
	if id == "nope" {
		return fmt.Errorf("silence %q: %w", id, alertd.ErrNotFound)
	}
	d.asked = append(d.asked, "expire "+id+" "+by.String())
	return nil
}

func someSilences() []alertd.SilenceView {
	view := func(id, comment string, state alertd.SilenceState, change func(*alertd.SilenceView)) alertd.SilenceView {
		v := alertd.SilenceView{State: state, Until: now.Add(2 * time.Hour)}
		v.Silence = alertd.Silence{
			ID: id, Comment: comment, CreatedBy: "anna", StartsAt: now.Add(-time.Hour), EndsAt: now.Add(2 * time.Hour),
			Matchers: []alertd.Matcher{{Name: "service", Value: "search", IsEqual: true}},
		}
		if change != nil {
			change(&v)
		}
		return v
	}
	hit := alertd.Hidden{Alert: "DiskUsageHigh", Service: "search", Severity: alertd.Warning}
	return []alertd.SilenceView{
		view("1", "new disks", alertd.SilenceActive, func(v *alertd.SilenceView) {
			v.Hides, v.Hid = []alertd.Hidden{hit}, []alertd.Hidden{hit}
			v.Changes = []alertd.SilenceChange{
				{Act: alertd.SilenceMade, At: v.StartsAt, Actor: alertd.Actor{By: "anna", From: alertd.FromWeb}, EndsAt: v.EndsAt},
				{Act: alertd.SilenceChanged, At: v.StartsAt, Actor: alertd.Actor{By: "<b>ben", From: alertd.FromCLI, Why: "longer"}, EndsAt: v.EndsAt},
			}
		}),
		view("2", "forgotten", alertd.SilenceActive, func(v *alertd.SilenceView) { v.Idle = true }),
		view("3", "nights", alertd.SilencePending, func(v *alertd.SilenceView) {
			v.Recurs = &alertd.Recurrence{Cron: "0 2 * * *", Duration: 3600e9, Zone: "Europe/Berlin"}
		}),
		view("4", `<script>alert("over")</script>`, alertd.SilenceExpired, nil),
		view("5", "move", alertd.SilencePending, nil),
	}
}

func TestSilencesPage(t *testing.T) {
	o := options(t, evening())
	d := &drawer{all: someSilences()}
	o.Silences = d
	h := SilencePages(o)
	body, _ := get(t, h, "/silences/")
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), "silences.html"), []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, want := range []string{ // in this order
		"In force", "new disks", "hides now: <b>DiskUsageHigh search</b>", "kept 1 alert from being told",
		"changed by &lt;b&gt;ben, from cli: longer; ends", `value="1"`,
		"forgotten", "Matches nothing: it has hidden nothing since it began.",
		"Recurring", "0 2 * * * for 1h, Europe/Berlin; next", "To come", "move", "Over", "&lt;script&gt;",
	} {
		i := strings.Index(body[at:], want)
		if i < 0 {
			t.Fatalf("no %s after %.80s", want, body[at:])
		}
		at += i
	}
	if strings.Contains(body, `value="4"`) || strings.Contains(body, "<script") {
		t.Error("what is over can be ended, or markup from outside is markup")
	}
	dashboard, _ := get(t, New(o), "/")
	for _, want := range []string{"Silenced", "Matches nothing", "new disks", `href="./silences/new?filter=alertname`} {
		if !strings.Contains(dashboard, want) {
			t.Errorf("no %s on the dashboard", want)
		}
	}
	if strings.Index(dashboard, "forgotten") > strings.Index(dashboard, "new disks") {
		t.Error("what matches nothing comes first")
	}
}

func TestSilenceForm(t *testing.T) {
	o := options(t, evening())
	d := &drawer{}
	o.Silences = d
	h := SilencePages(o)
	path := alertd.SilencePath(labels.FromStrings("alertname", "Down", "service", `a"b`), labels.FromStrings("alertname", "Slow"))
	body, _ := get(t, h, "/"+path)
	if !strings.Contains(body, "alertname=&#34;Down&#34;, service=&#34;a\\&#34;b&#34;\nalertname=&#34;Slow&#34;</textarea>") {
		t.Error("not filled in:", body)
	}
	for _, want := range []string{"Would hide now: 1 of 3 that fire", "Down &lt;b&gt;api", "4 alerts, in 1 notification, and taken alerts from 2 others", "to ops: Down &lt;b&gt;api, of 2 that it told"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	post := func(form url.Values) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/silences/new", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	form := url.Values{
		"filter": {"service=\"api\"\r\nalertname=~\"D.*\",service=\"web\"\r\n"}, "duration": {"90m"}, "comment": {"new disks"}, "createdBy": {"anna"},
		"until_resolved": {"on"}, "do": {"make"},
	}
	with := func(name, value string) url.Values {
		other := url.Values{}
		maps.Copy(other, form)
		other.Set(name, value)
		return other
	}
	for _, c := range []struct {
		form   url.Values
		status int
		says   string
	}{
		{form, 303, ""},
		{with("do", "preview"), 200, "Would hide now"},
		{with("comment", " "), 400, "the comment is missing"},
		{with("createdBy", ""), 400, "say who makes the silence"},
		{with("filter", "service=~\"(\""), 400, "is not a matcher"},
		{with("filter", " "), 400, "needs at least one matcher"},
		{with("duration", "soon"), 400, "is not a duration"},
	} {
		if w := post(c.form); w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%v: %d %s", c.form, w.Code, w.Body)
		}
	}
	const made = `make [service="api"] [[alertname=~"D.*" service="web"]] for 1h30m0s by anna (by anna, from web (192.0.2.1)): new disks true <nil>`
	if got := strings.Join(d.asked, "; "); got != made {
		t.Errorf("asked for\n%s\nwant\n%s", got, made)
	}
	d.broad = "it hides critical alerts of 2 services"
	if w := post(form); w.Code != 400 || !strings.Contains(w.Body.String(), `name="force"`) {
		t.Errorf("broad: %d %s", w.Code, w.Body)
	}
	if w := post(with("force", "on")); w.Code != 303 || w.Header().Get("Location") != "./" {
		t.Errorf("forced: %d %s", w.Code, w.Body)
	}
	for form, status := range map[string]int{"id=1&by=ben&why=done": 303, "id=nope&by=ben": 409, "id=1&by=+": 409} {
		r := httptest.NewRequest(http.MethodPost, "/silences/expire", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != status {
			t.Errorf("expire %s: %d %s", form, w.Code, w.Body)
		}
	}
	if !slices.Contains(d.asked, "expire 1 by ben, from web (192.0.2.1): done") {
		t.Errorf("asked for %q", d.asked)
	}
}
