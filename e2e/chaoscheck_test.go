package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// settle waits until nothing fires, nothing is held and nothing is on its way.
func (c *chaos) settle() {
	c.t.Helper()
	started := time.Now()
	c.until(func() error {
		_, _ = c.ask(http.MethodPost, "/api/v1/queue/release", map[string]any{"all": true, "by": "chaos"})
		for path, nothing := range map[string]string{"/api/v2/alerts": `^\[\]\s*$`, "/api/v1/queue": `"held":\[\]`} {
			out, err := c.ask(http.MethodGet, path, nil)
			if err == nil && !regexp.MustCompile(nothing).Match(out) {
				err = fmt.Errorf("%s still has something: %.2000s", path, out)
			}
			if err != nil {
				return err
			}
		}
		for _, u := range c.urls {
			if out, err := c.call(http.MethodGet, u+"/metrics", nil); err == nil && bytes.Contains(out, []byte("alertd_outbox_notifications 0\n")) {
				return nil // it leads, and has nothing to deliver
			}
		}
		return errors.New("something is on its way still")
	})
	c.t.Logf("all was told after %s", time.Since(started).Round(time.Second))
}

// told is how a receiver may hear of an alert: that it fires, perhaps again beside others, and once that it is over. Of what was held,
// it may be told only that it is over.
var told = map[string]*regexp.Regexp{
	"pager":  regexp.MustCompile(`^(firing )+resolved $`),
	"second": regexp.MustCompile(`^(firing )+resolved $`),
	"office": regexp.MustCompile(`^(firing )?resolved $`),
}

// own is how it may hear of what alertd says of itself, again and again.
var own = regexp.MustCompile(`^((firing )+resolved )+$`)

// check holds what the receiver got against what happened, and against the history.
func (c *chaos) check() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	bodies, accepted := map[string]string{}, map[string]int{}
	heard := map[string]string{}    // receiver, alert, service → its statuses
	first := map[string]time.Time{} // the same → when it was told first
	said := map[string]delivery{}   // group → the last thing that was said of it
	again := 0
	for _, d := range c.deliveries {
		if body, known := bodies[d.ID]; known && body != d.Body {
			c.t.Errorf("two contents of %s:\n%s\n%s", d.ID, body, d.Body)
		}
		bodies[d.ID] = d.Body
		if d.status != http.StatusOK {
			continue
		}
		if accepted[d.ID]++; accepted[d.ID] > 1 {
			again++
			continue
		}
		group := d.Receiver + " " + d.GroupKey
		if last, ok := said[group]; ok {
			c.follows(last, d)
		}
		said[group] = d
		for _, a := range d.Alerts {
			key := d.Receiver + " " + a.Labels["alertname"] + " " + a.Labels["service"]
			if a.Labels["service"] == "alertd" {
				key = "of alertd itself: " + key + " " + a.Fingerprint
			}
			if heard[key] += a.Status + " "; first[key].IsZero() {
				first[key] = d.At
			}
		}
	}

	silent, called, slowest := 0, 0, time.Duration(0)
	for _, l := range c.lives {
		receiver := "pager"
		if l.alert == "Slow" {
			receiver = "office"
		}
		key := receiver + " " + l.alert + " " + l.service
		if second := "second " + l.alert + " " + l.service; heard[second] != "" {
			called++
			if !told["second"].MatchString(heard[second]) {
				c.t.Errorf("%s: %q, and %s: %q", second, heard[second], key, heard[key])
			}
			delete(heard, second)
		}
		h := heard[key]
		if delete(heard, key); h == "" {
			silent++
			c.reason(l, `"kind":"withheld"`)
			continue
		}
		if !told[receiver].MatchString(h) {
			why, err := c.why(l)
			c.t.Errorf("%s heard of %s of %s: %q\n%s %v", receiver, l.alert, l.service, h, why, err)
		}
		if first[key].Before(l.notBefore) {
			c.t.Errorf("%s was told at %s, and silenced until %s", l.service, first[key], l.notBefore)
		}
		if receiver == "pager" && l.team != "t3" && l.team != "hushed" {
			slowest = max(slowest, first[key].Sub(l.began))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(heard)) {
		if !strings.HasPrefix(key, "of alertd itself: ") || !own.MatchString(heard[key]) {
			c.t.Errorf("%s: %s", key, heard[key])
		}
	}
	if slowest > 2*time.Minute { // two attempts that are refused take 22 s, a NATS server may be away, and machines that run tests are busy
		c.t.Errorf("the slowest page took %s", slowest)
	}
	c.history(accepted)
	c.remembered()
	c.t.Logf("%d alerts, %d of them never told, %d to the second receiver, too; %d deliveries, %d notifications taken, %d of them once more under their id; slowest page %s",
		len(c.lives), silent, called, len(c.deliveries), len(accepted), again, slowest.Round(time.Millisecond))
	if len(c.lives) == silent || called == 0 {
		c.t.Error("nothing was told: this tests nothing")
	}
}

// follows checks what is said of a group after something else was.
func (c *chaos) follows(last, d delivery) {
	seq := func(d delivery) uint64 {
		var body struct {
			Alertd struct{ Seq uint64 }
		}
		if err := json.Unmarshal([]byte(d.Body), &body); err != nil {
			c.t.Error(err)
		}
		return body.Alertd.Seq
	}
	content := func(d delivery) (out []string) {
		for _, a := range d.Alerts {
			out = append(out, a.Labels["alertname"]+" "+a.Labels["service"]+" "+a.Status)
		}
		slices.Sort(out)
		return out
	}
	if a, b := seq(last), seq(d); b <= a && (b != 1 || last.Status != "resolved") && !strings.HasPrefix(d.GroupKey, "digest:") {
		c.t.Errorf("number %d of %s came after number %d", b, d.GroupKey, a)
	}
	if a, b := content(last), content(d); slices.Equal(a, b) {
		c.t.Errorf("%s was told the same under %s and %s: %v", d.GroupKey, last.ID, d.ID, a)
	}
}

// why is what alertd says about an alert.
func (c *chaos) why(l *life) (string, error) {
	out, err := c.ask(http.MethodGet, "/api/v1/why?"+url.Values{"alert": {l.alert}, "service": {l.service}}.Encode(), nil)
	return string(out), err
}

// reason checks that alertd has a word about an alert.
func (c *chaos) reason(l *life, word string) {
	c.daemons[0].eventually(func() error { // the history may be a moment behind
		out, err := c.why(l)
		if err == nil && !strings.Contains(out, word) {
			err = fmt.Errorf("nothing says %q of %s of %s: %s%s", word, l.alert, l.service, out, c.events(l.service))
		}
		return err
	})
}

// events shows when which events of a service came into the stream.
func (c *chaos) events(service string) string {
	var out strings.Builder
	stream, err := c.daemons[0].js.Stream(c.t.Context(), "ALERTD_EVENTS")
	for seq := uint64(1); err == nil; seq++ {
		var m *jetstream.RawStreamMsg
		if m, err = stream.GetMsg(c.t.Context(), seq, jetstream.WithGetMsgSubject("alertd.metrics."+service)); err == nil {
			fmt.Fprintf(&out, "\nevent %d of %s: %s", m.Sequence, m.Time.Format("15:04:05.000"), m.Data)
			seq = m.Sequence
		}
	}
	return out.String()
}

// history checks that what was delivered according to alertd is what the receiver took.
func (c *chaos) history(accepted map[string]int) {
	delivered := map[string]bool{}
	for _, n := range c.notifications() {
		if delivered[n.ID] {
			c.t.Errorf("the history has %s twice", n.ID)
		}
		delivered[n.ID] = true
		if n.Outcome != "delivered" || accepted[n.ID] == 0 {
			c.t.Errorf("%s ended as %q, and the receiver took it %d times", n.ID, n.Outcome, accepted[n.ID])
		}
	}
	for id := range accepted {
		if !delivered[id] {
			c.t.Errorf("the receiver took %s, which the history does not know", id)
		}
	}
}

type attempted struct{ ID, Outcome string }

// notifications is all that the history has, when it has all.
func (c *chaos) notifications() (out []attempted) {
	c.daemons[0].eventually(func() error {
		res, err := http.Get(c.daemons[0].daemon.URL + "/api/v1/notifications?limit=1")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if behind := res.Header.Get("Alertd-History-Behind"); behind != "" {
			return fmt.Errorf("the history is %s s behind", behind)
		}
		return nil
	})
	for cursor := ""; ; {
		var page struct {
			Data struct {
				Notifications []attempted
				Next          string
			}
		}
		c.daemons[0].json("/api/v1/notifications?limit=200&cursor="+url.QueryEscape(cursor), &page)
		out = append(out, page.Data.Notifications...)
		if cursor = page.Data.Next; cursor == "" {
			return out
		}
	}
}

// remembered checks that what alertd said it had is there still.
func (c *chaos) remembered() {
	out, err := c.ask(http.MethodGet, "/api/v2/silences", nil)
	var list []struct {
		ID     string
		Status struct{ State string }
	}
	if err == nil {
		err = json.Unmarshal(out, &list)
	}
	if err != nil {
		c.t.Error(err)
	}
	state := map[string]string{}
	for _, s := range list {
		state[s.ID] = s.Status.State
	}
	for id, expired := range c.silences {
		if state[id] == "" || expired && state[id] != "expired" {
			c.t.Errorf("silence %s, expired: %t, is %q now", id, expired, state[id])
		}
	}
	for key := range c.acked {
		alert, service, _ := strings.Cut(key, " ")
		c.reason(&life{alert: alert, service: service}, `"kind":"acked"`)
	}
	c.t.Logf("%d silences and %d acknowledgements are remembered", len(c.silences), len(c.acked))
}

// rebuild takes the history away: what is made of the journal is what was there.
func (c *chaos) rebuild() {
	c.t.Helper()
	w := c.daemons[0]
	all := func() string {
		var out bytes.Buffer
		for _, path := range []string{"/api/v1/history?limit=1000", "/api/v1/notifications?limit=200"} {
			out.WriteString(w.get(path))
		}
		return out.String()
	}
	before := all()
	w.stop()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(filepath.Join(w.opts.Data, "history.db"+suffix)) // some are not there
	}
	w.start()
	w.eventually(func() error {
		if after := all(); after != before {
			return fmt.Errorf("the history that is made of the journal is another one: %d bytes instead of %d", len(after), len(before))
		}
		return nil
	})
}
