package runbooks_test

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/runbooks"
)

// book parses a runbook with these dashboards.
func book(lines ...string) (runbooks.Runbook, error) {
	return runbooks.Parse("a.md", []byte("---\nalert: A\nseverity: info\nnext_steps: [x]\ndashboards:\n  - "+strings.Join(lines, "\n  - ")+"\n---\n"))
}

// Dashboards lead to what the alert is about, whatever its labels say.
func TestDashboards(t *testing.T) {
	rb, err := book("Requests: https://g.example/d/a?var-service={{ $labels.service }}&from=now-1h#p-{{$labels.pod}}", "https://g.example/d/b/{{ $labels.pod }}", "All: http://g.example:3000")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		about alertd.Labels
		want  []string
	}{
		{labels.FromStrings("service", "check out", "pod", "a-1"), []string{"Requests https://g.example/d/a?var-service=check%20out&from=now-1h#p-a-1", "Dashboard https://g.example/d/b/a-1", "All http://g.example:3000"}},
		{none, []string{"Requests https://g.example/d/a?var-service=&from=now-1h#p-", "Dashboard https://g.example/d/b/", "All http://g.example:3000"}},
		{labels.FromStrings("service", "x&y=1#z", "pod", "../../evil?"), []string{"Requests https://g.example/d/a?var-service=x%26y%3D1%23z&from=now-1h#p-..%2F..%2Fevil%3F", "Dashboard https://g.example/d/b/..%2F..%2Fevil%3F", "All http://g.example:3000"}},
		{labels.FromStrings("service", strings.Repeat("x", 3000)), []string{"Dashboard https://g.example/d/b/", "All http://g.example:3000"}}, // too long to be a link
	} {
		var got []string
		for _, l := range rb.Links(tt.about) {
			got = append(got, l.Title+" "+l.URL)
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n got %q\nwant %q", tt.about, got, tt.want)
		}
	}
	var pages []string
	for _, d := range rb.Dashboards {
		pages = append(pages, d.Probe())
	}
	if want := []string{"https://g.example/d/a", "", "http://g.example:3000"}; !reflect.DeepEqual(pages, want) {
		t.Errorf("tried are %q, want %q", pages, want)
	}
}

// A dashboard that cannot be linked is refused with its place.
func TestDashboardsRefused(t *testing.T) {
	for line, want := range map[string]string{
		"javascript:alert(1)":                                              "a.md:6:5: dashboard 1: no link that a browser opens",
		"dash.example":                                                     "a.md:6:5: dashboard 1: no link",
		"https://user:pw@g.example/":                                       "a.md:6:5: dashboard 1: no link",
		"https://{{ $labels.host }}/d":                                     "a.md:6:5: dashboard 1: a label cannot say which server",
		"https://g.example/?a={{ .Labels.x }}":                             "a.md:6:5: dashboard 1: only {{ $labels.NAME }}",
		"{title: a, url: 'https://g.example'}":                             `a.md:6:5: dashboard 1: want an address, or "TITLE: ADDRESS"`,
		"'': https://g.example":                                            "a.md:6:5: dashboard 1: the title is empty",
		"[https://g.example]":                                              "a.md:6:5: dashboard 1: want an address",
		"https://g.example/" + strings.Repeat("x", 3e3):                    "a.md:6:5: dashboard 1: the address is too long",
		strings.Repeat("https://g.example\n  - ", 5) + "https://g.example": "a.md:11:5: more than 5 dashboards",
	} {
		if _, err := book(line); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "pw") {
			t.Errorf("%.60s:\n got %v\nwant %s", line, err, want)
		}
	}
}

// Whatever a file and the labels say: what is linked is the host that the file names, by http or https.
func FuzzDashboard(f *testing.F) {
	f.Add("https://g.example/d/{{ $labels.a }}?b={{$labels.b}}", "x", "y")
	f.Add("https://g.example", "@evil.example", "//evil.example")
	f.Add("http://a.b/{{$labels.a}}{{$labels.b}}", "\\\\evil", "\r\n")
	f.Fuzz(func(t *testing.T, address, a, b string) {
		rb, err := book(fmt.Sprintf("%q", address))
		if err != nil {
			return
		}
		about := labels.FromStrings("a", a, "b", b)
		for _, l := range rb.Links(about) {
			u, err := url.Parse(l.URL)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
				t.Fatalf("%q with %s links %q: %v", address, about, l.URL, err)
			}
			if plain, err := url.Parse(rb.Links(none)[0].URL); err != nil || plain.Host != u.Host {
				t.Fatalf("%q with %s links the host %q", address, about, u.Host)
			}
		}
	})
}
