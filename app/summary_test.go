package app_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// The link in a summary leads to a list of exactly the groups that it was sent in place of.
func TestSummaryLinksToItsGroups(t *testing.T) {
	s := newSink(t)
	fsys := files(s.URL)
	fsys["routing.yaml"] = &fstest.MapFile{Data: fmt.Appendf(nil, `route:
  receiver: ops
  group_by: [service]
  group_wait: 0s
receivers:
- name: ops
  max_per_minute: 20
  webhook_configs: [{url: %q, max_alerts: 2}]
`, s.URL)}
	a := quiet(t, fsys)
	until(t, a, "/api/v1/alerts", `"status":"success"`) // it leads
	var body strings.Builder
	for i := range 60 {
		fmt.Fprintf(&body, `%c{"labels":{"alertname":"Posted","service":"s%02d","severity":"critical"}}`, "[,"[min(i, 1)], i)
	}
	body.WriteByte(']')
	resp, err := http.Post("http://"+a.HTTP()+"/api/v2/alerts", "application/json", strings.NewReader(body.String()))
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(resp.Body)
	if resp.Body.Close(); resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, answer)
	}

	var alone []string
	for end := time.Now().Add(time.Minute); ; {
		p := s.next(t)
		if p.Alertd.Summary.Firing == 0 {
			alone = append(alone, p.Alerts[0].Labels["service"])
			continue
		}
		link, err := url.Parse(p.Alertd.AckURL)
		if err != nil {
			t.Fatal(err)
		}
		var listed []string
		for listed == nil && time.Now().Before(end) { // what is remembered reaches the history a moment later
			_, page := get(t, a, link.RequestURI())
			if strings.Contains(page, "Not filtered") {
				continue
			}
			listed = []string{}
			for _, m := range regexp.MustCompile(`<a class="who"[^>]*>([^<]*)</a>`).FindAllStringSubmatch(page, -1) {
				listed = append(listed, m[1])
			}
		}
		all := slices.Concat(alone, listed)
		slices.Sort(all)
		if len(listed) != p.Alertd.Summary.Firing || len(listed) < 2 || len(slices.Compact(all)) != len(alone)+len(listed) {
			t.Errorf("a summary of %d groups leads to %q; told by themselves: %q", p.Alertd.Summary.Firing, listed, alone)
		}
		return
	}
}
