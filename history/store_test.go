package history

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"alertd"
)

var epoch = time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)

func open(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func fresh(t testing.TB) *Store { return open(t, filepath.Join(t.TempDir(), "history.db")) }

func apply(t testing.TB, s *Store, records ...Record) {
	t.Helper()
	if err := s.Apply(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

// alert is what a real one looks like.
func alert(name, service, severity string, state alertd.State, at time.Time) alertd.Alert {
	ls := labels.FromStrings("alertname", name, "service", service, "severity", severity, "instance", "10.0.0.7:8080")
	return alertd.Alert{
		Fingerprint: alertd.FingerprintOf(ls),
		Rule:        "shop.yaml:availability:" + name,
		Labels:      ls,
		Annotations: labels.FromStrings("summary", name+" on "+service+" is above 10 %", "next_step", "Roll the last deployment back"),
		State:       state,
		Value:       0.137,
		ActiveAt:    at.Add(-time.Minute),
		At:          at.Add(-time.Second),
		RunbookURL:  "http://127.0.0.1:9093/runbooks/error-rate.md",
		TraceURL:    "http://jaeger/trace/4bf92f3577b34da6a3ce929d0e0e4736",
		Trace:       alertd.TraceRef{TraceID: "4bf92f3577b34da6a3ce929d0e0e4736"},
	}
}

func turned(a alertd.Alert, from alertd.State, reason alertd.Reason, at time.Time) alertd.Entry {
	return alertd.Entry{Time: at, Transition: &alertd.Transition{From: from, Reason: reason, Alert: a}}
}

func record(seq uint64, entries ...alertd.Entry) Record {
	return Record{Seq: seq, Commit: alertd.Commit{Time: epoch, Entries: entries}}
}

// story is a page: fired, joined, scheduled, told, failed once, delivered, resolved.
func story() []Record {
	firing := alert("HighErrorRate", "checkout", "page", alertd.Firing, epoch)
	resolved := alert("HighErrorRate", "checkout", "page", alertd.Resolved, epoch.Add(10*time.Minute))
	disk := alert("DiskFull", "db", "warning", alertd.Firing, epoch.Add(time.Second))
	disk.Value = alertd.Value(math.NaN())
	const group = `{}:{service="checkout"}`
	note := alertd.Notification{
		ID: "n-1", Receiver: "ops", Integration: "slack/0", Group: group, GroupLabels: labels.FromStrings("service", "checkout"),
		Reason: alertd.ReasonFirst, Seq: 1, PlannedAt: epoch.Add(time.Second), Alerts: []alertd.Notified{{Alert: firing}},
	}
	attempt := func(n int, outcome alertd.Outcome, next time.Time) *alertd.Attempted {
		trace := fmt.Sprintf("%032x", n)
		return &alertd.Attempted{Attempt: alertd.Attempt{Notification: "n-1", N: n, Outcome: outcome, Latency: 12 * time.Millisecond, TraceID: trace}, Next: next}
	}
	return []Record{
		record(3,
			alertd.Entry{Time: epoch, Policy: &alertd.PolicySet{Version: "abc"}},
			turned(firing, alertd.Pending, alertd.ReasonHeldFor, epoch),
			alertd.Entry{Time: epoch, Joined: &alertd.Joined{Fingerprint: firing.Fingerprint, Group: group, Route: "/critical", Receiver: "ops", Delivery: alertd.Immediate}},
			alertd.Entry{Time: epoch, Scheduled: &alertd.Scheduled{Group: group, Due: epoch.Add(time.Second), Reason: alertd.ReasonGrouped}},
		),
		record(4,
			turned(disk, alertd.Pending, alertd.ReasonHeldFor, epoch.Add(time.Second)),
			alertd.Entry{Time: epoch.Add(time.Second), Withheld: &alertd.Withheld{Fingerprint: disk.Fingerprint, Group: "{}:{}", Receiver: "ops", Reason: alertd.ReasonHeld, By: "office", Until: epoch.Add(time.Hour)}},
			alertd.Entry{Time: epoch.Add(time.Second), Flushed: &alertd.Flushed{Group: group, Told: []alertd.Fingerprint{firing.Fingerprint}, Spoke: true}},
			alertd.Entry{Time: epoch.Add(time.Second), Planned: &alertd.Planned{Notification: note}},
		),
		record(9, alertd.Entry{Time: epoch.Add(2 * time.Second), Attempted: attempt(1, alertd.Retry, epoch.Add(time.Minute))}),
		record(10,
			alertd.Entry{Time: epoch.Add(time.Minute), Attempted: attempt(2, alertd.Delivered, time.Time{})},
			turned(resolved, alertd.Firing, alertd.ReasonFalse, epoch.Add(10*time.Minute)),
		),
	}
}

func TestStory(t *testing.T) {
	s := fresh(t)
	apply(t, s, story()...)
	if seq, err := s.LastSeq(t.Context()); seq != 10 || err != nil {
		t.Fatalf("last sequence %d, %v", seq, err)
	}

	page, err := s.Transitions(t.Context(), Filter{})
	if err != nil || len(page.Transitions) != 3 || page.Next != "" {
		t.Fatalf("%d transitions, next %q, %v", len(page.Transitions), page.Next, err)
	}
	a := alert("HighErrorRate", "checkout", "page", alertd.Resolved, epoch.Add(10*time.Minute))
	want := Transition{
		ID: "10.1", Time: epoch.Add(10 * time.Minute), At: a.At, Alert: "HighErrorRate", Rule: "shop.yaml:availability:HighErrorRate",
		Severity: alertd.Critical, Service: "checkout", Labels: a.Labels, Annotations: a.Annotations, From: alertd.Firing, To: alertd.Resolved,
		Value: 0.137, Summary: a.Summary(), RunbookURL: a.RunbookURL, TraceURL: a.TraceURL, TraceID: a.Trace.TraceID,
		Reason: alertd.ReasonFalse, Fingerprint: a.Fingerprint, Cursor: page.Transitions[0].Cursor,
	}
	if diff := cmp.Diff(want, page.Transitions[0], cmp.Comparer(labels.Equal)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !math.IsNaN(float64(page.Transitions[1].Value)) {
		t.Errorf("NaN came back as %v", page.Transitions[1].Value)
	}

	notes, err := s.Notifications(t.Context(), Filter{})
	if err != nil || len(notes) != 1 {
		t.Fatalf("%d notifications, %v", len(notes), err)
	}
	n := notes[0]
	if n.Outcome != alertd.Delivered || !n.Next.IsZero() || len(n.Attempts) != 2 || n.Attempts[0].Outcome != alertd.Retry ||
		n.Attempts[0].LatencyMS != 12 || n.Attempts[1].TraceID != fmt.Sprintf("%032x", 2) || len(n.Alerts) != 1 || n.Alerts[0].Alert != "HighErrorRate" || n.Severity != alertd.Critical {
		t.Errorf("notification %+v", n)
	}

	ds, err := s.Decisions(t.Context(), a.Fingerprint, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []Kind
	for _, d := range ds {
		kinds = append(kinds, d.Kind)
	}
	if diff := cmp.Diff([]Kind{KindJoined, KindScheduled, KindTold}, kinds); diff != "" {
		t.Errorf("decisions -want +got:\n%s", diff)
	}
}

func TestFilters(t *testing.T) {
	s := fresh(t)
	apply(t, s, story()...)
	fp := alert("DiskFull", "db", "warning", alertd.Firing, epoch).Fingerprint.String()
	for name, tc := range map[string]struct {
		f             Filter
		rows, notices int
	}{
		"none":                {Filter{}, 3, 1},
		"severity":            {Filter{Severity: "warning"}, 1, 0},
		"severity folded":     {Filter{Severity: "page"}, 2, 1},
		"severity, any case":  {Filter{Severity: "Critical"}, 2, 1},
		"service":             {Filter{Service: "checkout"}, 2, 1},
		"rule by id":          {Filter{Rule: "shop.yaml:availability:DiskFull"}, 1, 0},
		"rule by alertname":   {Filter{Rule: "HighErrorRate"}, 2, 1},
		"alert":               {Filter{Alert: "HighErrorRate"}, 2, 1},
		"alert is not a rule": {Filter{Alert: "shop.yaml:availability:DiskFull"}, 0, 0},
		"state":               {Filter{State: "resolved"}, 1, 0},
		"state firing":        {Filter{State: "firing"}, 2, 1},
		"outcome":             {Filter{State: "delivered"}, 0, 1},
		"dead":                {Filter{State: "dead"}, 0, 0},
		"not tried":           {Filter{State: "pending"}, 0, 0},
		"fingerprint":         {Filter{Fingerprint: fp}, 1, 0},
		"since is included":   {Filter{Since: epoch.Add(time.Second)}, 2, 1},
		"until is not":        {Filter{Until: epoch.Add(time.Second)}, 1, 0},
		"text":                {Filter{Text: "INSTANCE=10.0.0.7 diskfull"}, 1, 0},
		"text, each word":     {Filter{Text: "checkout ops"}, 0, 1},
		"text is no pattern":  {Filter{Text: "%"}, 3, 1}, // in each summary: "above 10 %"
		"text is no pattern_": {Filter{Text: "c_eckout"}, 0, 0},
		"all":                 {Filter{Severity: "critical", Service: "checkout", State: "firing", Text: "roll"}, 1, 0},
		"injection":           {Filter{Service: "' OR 1=1 --"}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			page, err := s.Transitions(t.Context(), tc.f)
			if err != nil || len(page.Transitions) != tc.rows {
				t.Errorf("%d transitions, want %d (%v)", len(page.Transitions), tc.rows, err)
			}
			notes, err := s.Notifications(t.Context(), tc.f)
			if err != nil || len(notes) != tc.notices {
				t.Errorf("%d notifications, want %d (%v)", len(notes), tc.notices, err)
			}
		})
	}
	for _, f := range []Filter{{Cursor: "x"}, {Cursor: "1.2.3"}, {Cursor: "1.é"}, {Fingerprint: "12"}} {
		if _, err := s.Transitions(t.Context(), f); !errors.Is(err, ErrFilter) {
			t.Errorf("%+v: %v", f, err)
		}
		if _, err := s.Notifications(t.Context(), f); !errors.Is(err, ErrFilter) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

// everything reads all that there is, to compare stores by.
func everything(t interface {
	Fatal(args ...any)
	Helper()
}, s *Store,
) string {
	t.Helper()
	ctx := contextOf(t)
	var b strings.Builder
	f := Filter{Limit: 2}
	for {
		page, err := s.Transitions(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, tr := range page.Transitions {
			fmt.Fprintf(&b, "%+v\n", tr)
		}
		if f.Cursor = page.Next; page.Next == "" {
			break
		}
	}
	f = Filter{Limit: 2}
	for {
		notes, err := s.Notifications(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range notes {
			fmt.Fprintf(&b, "%+v\n", n)
			f.Cursor = n.Cursor
		}
		if len(notes) == 0 {
			break
		}
	}
	rows, err := s.read.QueryContext(ctx, "SELECT pos, d.n, kind, coalesce(fingerprint, ''), grp, reason, until FROM decisions AS d LEFT JOIN fingerprints AS f ON f.n = fp ORDER BY 1, 2")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var c [7]any
		if err := rows.Scan(&c[0], &c[1], &c[2], &c[3], &c[4], &c[5], &c[6]); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, c[:]...)
	}
	seq, err := s.LastSeq(ctx)
	if err != nil || rows.Err() != nil {
		t.Fatal(err, rows.Err())
	}
	return fmt.Sprint(b.String(), seq)
}

func TestApplyAgainChangesNothing(t *testing.T) {
	s := fresh(t)
	apply(t, s, story()...)
	before := everything(t, s)
	apply(t, s, story()...)
	apply(t, s, story()[1:3]...)
	apply(t, s)
	if after := everything(t, s); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestApplyRefusesDisorder(t *testing.T) {
	s := fresh(t)
	records := story()
	records[1], records[2] = records[2], records[1]
	if err := s.Apply(t.Context(), records); err == nil || !strings.Contains(err.Error(), "comes after") {
		t.Fatalf("got %v", err)
	}
	if seq, _ := s.LastSeq(t.Context()); seq != 0 {
		t.Errorf("half a batch was applied: last sequence %d", seq)
	}
}

// Readers see whole batches only, and wait for no writer.
func TestReadersWhileApplying(t *testing.T) {
	const batch, batches = 20, 30
	s := fresh(t)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				page, err := s.Transitions(t.Context(), Filter{Limit: MaxLimit})
				if err != nil || len(page.Transitions)%batch != 0 {
					t.Errorf("%d rows, %v", len(page.Transitions), err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for seq := range uint64(batches) {
		r := record(seq + 1)
		for range batch {
			r.Commit.Entries = append(r.Commit.Entries, turned(alert("Up", "a", "critical", alertd.Firing, epoch), alertd.Pending, alertd.ReasonTrue, epoch))
		}
		apply(t, s, r)
	}
	close(done)
	wg.Wait()
}

// files returns a source of empty histories: copies of one, because the migrations take longer than a case.
func files(t *testing.T) func() string {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(t.Context(), filepath.Join(dir, "empty"))
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	empty, err := os.ReadFile(filepath.Join(dir, "empty"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	return func() string {
		n++
		path := filepath.Join(dir, fmt.Sprint(n))
		write(t, path, empty)
		return path
	}
}

// However the journal is cut into batches, whatever is delivered again and whenever the daemon restarts, the
// history is the one that a rebuild from scratch gives.
func TestBatchesAndRestartsDoNotShow(t *testing.T) {
	newFile := files(t)
	rapid.Check(t, func(t *rapid.T) {
		records := genRecords(t)
		whole, err := Open(contextOf(t), newFile())
		if err != nil {
			t.Fatal(err)
		}
		defer whole.Close()
		if err := whole.Apply(contextOf(t), records); err != nil {
			t.Fatal(err)
		}

		path := newFile()
		parts, err := Open(contextOf(t), path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { parts.Close() }()
		for done := 0; done < len(records); {
			from := rapid.IntRange(0, done).Draw(t, "from")
			to := rapid.IntRange(done+1, len(records)).Draw(t, "to")
			if err := parts.Apply(contextOf(t), records[from:to]); err != nil {
				t.Fatal(err)
			}
			done = to
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				parts.Close()
				if parts, err = Open(contextOf(t), path); err != nil {
					t.Fatal(err)
				}
			}
		}
		if a, b := everything(t, whole), everything(t, parts); a != b {
			t.Fatalf("whole:\n%s\nin parts:\n%s", a, b)
		}
	})
}

// Pages put together are all rows, each once, newest first, while new rows arrive between the pages.
func TestPagesAreAllRows(t *testing.T) {
	newFile := files(t)
	rapid.Check(t, func(t *rapid.T) {
		s, err := Open(contextOf(t), newFile())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		records := genRecords(t)
		first := rapid.IntRange(1, len(records)).Draw(t, "there at the start")
		if err := s.Apply(contextOf(t), records[:first]); err != nil {
			t.Fatal(err)
		}
		must := map[string]bool{}
		for _, r := range records[:first] {
			for i, e := range r.Commit.Entries {
				if e.Transition != nil {
					must[fmt.Sprint(r.Seq, ".", i)] = true
				}
			}
		}

		rest := records[first:]
		seen := map[string]bool{}
		f := Filter{Limit: rapid.IntRange(1, 7).Draw(t, "limit")}
		var last time.Time
		for {
			page, err := s.Transitions(contextOf(t), f)
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Transitions) > f.Limit {
				t.Fatalf("%d rows on a page of %d", len(page.Transitions), f.Limit)
			}
			for _, tr := range page.Transitions {
				if seen[tr.ID] {
					t.Fatalf("%s came twice", tr.ID)
				}
				if !last.IsZero() && tr.Time.After(last) {
					t.Fatalf("%s is newer than the row before", tr.ID)
				}
				seen[tr.ID], last = true, tr.Time
				delete(must, tr.ID)
			}
			if f.Cursor = page.Next; page.Next == "" {
				break
			}
			if len(rest) > 0 && rapid.Bool().Draw(t, "arrives") {
				if err := s.Apply(contextOf(t), rest[:1]); err != nil {
					t.Fatal(err)
				}
				rest = rest[1:]
			}
		}
		if len(must) > 0 {
			t.Fatalf("never shown: %v", must)
		}
	})
}

// genRecords draws a journal whose clock stands still, runs and sometimes steps back.
func genRecords(t *rapid.T) []Record {
	now, seq := epoch, uint64(0)
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Record {
		seq += uint64(rapid.IntRange(1, 3).Draw(t, "gap"))
		r := record(seq)
		for range rapid.IntRange(0, 5).Draw(t, "entries") {
			now = now.Add(time.Duration(rapid.IntRange(-2, 5).Draw(t, "clock")) * time.Second)
			a := alert(rapid.SampledFrom([]string{"Up", "Slow"}).Draw(t, "alert"), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "service"),
				"critical", rapid.SampledFrom([]alertd.State{alertd.Pending, alertd.Firing, alertd.Resolved}).Draw(t, "state"), now)
			id := rapid.SampledFrom([]string{"n1", "n2", "n3"}).Draw(t, "notification")
			e := alertd.Entry{Time: now}
			switch rapid.IntRange(0, 6).Draw(t, "kind") {
			case 0:
				e.Planned = &alertd.Planned{Notification: alertd.Notification{ID: id, Receiver: "ops", PlannedAt: now, Alerts: []alertd.Notified{{Alert: a}}}}
			case 1:
				e.Attempted = &alertd.Attempted{Attempt: alertd.Attempt{Notification: id, N: 1, Outcome: alertd.Retry}, Next: now.Add(time.Minute)}
			case 2:
				e.Flushed = &alertd.Flushed{Group: "g", Told: []alertd.Fingerprint{a.Fingerprint, 1}, Ended: []alertd.Fingerprint{2}}
			case 3:
				e.Withheld = &alertd.Withheld{Fingerprint: a.Fingerprint, Group: "g", Reason: alertd.ReasonGrouped}
			default:
				e = turned(a, alertd.Inactive, alertd.ReasonTrue, now)
			}
			r.Commit.Entries = append(r.Commit.Entries, e)
		}
		return r
	}), 1, 12).Draw(t, "journal")
}

func TestFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "history.db")
	s := open(t, path)
	apply(t, s, story()...)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		fi, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", fi.Name(), fi.Mode())
		}
	}
}

func TestOddPaths(t *testing.T) {
	for _, name := range []string{"with space", "per%41cent", "que?stion&x=1", "ha#sh", "ümläut"} {
		path := filepath.Join(t.TempDir(), name, "history.db")
		open(t, path)
		if fi, err := os.Stat(path); err != nil || fi.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Chdir(t.TempDir())
	open(t, "relative.db")
	if fi, err := os.Stat("relative.db"); err != nil || fi.Size() == 0 {
		t.Error(err)
	}
}

func TestUnusableFiles(t *testing.T) {
	use := func(path string) error {
		s, err := Open(t.Context(), path)
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = s.Transitions(t.Context(), Filter{Text: "no such word"})
		return err
	}
	for name, tc := range map[string]struct {
		damage func(t *testing.T, path string)
		is     error
		says   string
	}{
		"garbage": {func(t *testing.T, path string) {
			write(t, path, []byte(strings.Repeat("this is not a database\n", 500)))
		}, ErrDamaged, "delete"},
		"pages overwritten": {func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := 4096; i < len(b); i++ {
				b[i] = 0x5a
			}
			write(t, path, b)
		}, ErrDamaged, "delete"},
		"cut short": {func(t *testing.T, path string) {
			if err := os.Truncate(path, 4096); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, "rebuilt from the journal"},
		"newer": {func(t *testing.T, path string) {
			exec(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
		}, ErrNewer, "run the newer alertd"},
		"somebody else's": {func(t *testing.T, path string) {
			exec(t, path, "PRAGMA application_id = 7")
		}, ErrDamaged, "not one of alertd"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "history.db")
			s, err := Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			apply(t, s, story()...)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			tc.damage(t, path)
			err = use(path)
			if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), path) {
				t.Fatalf("got %v", err)
			}
			// What the error says to do helps.
			for _, suffix := range []string{"", "-wal", "-shm"} {
				os.Remove(path + suffix)
			}
			again := open(t, path)
			apply(t, again, story()...)
			if seq, err := again.LastSeq(t.Context()); seq != 10 || err != nil {
				t.Errorf("last sequence %d, %v", seq, err)
			}
		})
	}
	t.Run("a folder", func(t *testing.T) {
		if err := use(t.TempDir()); err == nil {
			t.Error("opened a folder")
		}
	})
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func exec(t *testing.T, path, q string) {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.write.Exec(q); err != nil {
		t.Fatal(err)
	}
}

func TestRowsAreBounded(t *testing.T) {
	s := fresh(t)
	a := alert(strings.Repeat("名", 100_000), "s", "info", alertd.Firing, epoch)
	a.Annotations = labels.FromStrings("description", strings.Repeat("é", 100_000), "summary", "x\x00\"\\<script>\u2028")
	a.TraceURL = "http://x/" + strings.Repeat("y", 10_000)
	apply(t, s, record(1, turned(a, alertd.Inactive, alertd.ReasonTrue, epoch)))
	page, err := s.Transitions(t.Context(), Filter{})
	if err != nil || len(page.Transitions) != 1 {
		t.Fatal(err)
	}
	tr := page.Transitions[0]
	if len(tr.Alert) > maxName || len(tr.Annotations.Get("description")) > maxAnnotation || tr.TraceURL != "" ||
		!strings.HasSuffix(tr.Alert, "名…") || tr.Annotations.Get("summary") != "x\x00\"\\<script>\u2028" {
		t.Errorf("alert %d B, description %d B, summary %q, link %d B", len(tr.Alert), len(tr.Annotations.Get("description")),
			tr.Annotations.Get("summary"), len(tr.TraceURL))
	}
}

func TestPrune(t *testing.T) {
	s := fresh(t)
	apply(t, s, story()...)
	if err := s.Prune(t.Context(), epoch.Add(5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	page, err := s.Transitions(t.Context(), Filter{})
	if err != nil || len(page.Transitions) != 1 || page.Transitions[0].To != alertd.Resolved {
		t.Errorf("left: %+v, %v", page.Transitions, err)
	}
	for _, table := range []string{"notifications", "notified", "attempts", "decisions"} {
		var n int
		if err := s.read.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d rows are left, %v", table, n, err)
		}
	}
	apply(t, s, story()...)
	if seq, _ := s.LastSeq(t.Context()); seq != 10 {
		t.Errorf("last sequence %d", seq)
	}
	if page, _ := s.Transitions(t.Context(), Filter{}); len(page.Transitions) != 1 {
		t.Error("what was pruned came back")
	}
}

// Every way to ask is answered from an index that is sorted as the answer is, so that a page costs a page.
func TestNoSorting(t *testing.T) {
	s := fresh(t)
	for _, where := range []string{
		"", "time >= 1", "service = 'a'", "service = 'a' AND time > 1", "severity = 'a'", "alert = 'a'",
		"fp = 5", "(time, id) < (5, 5)", "service = 'a' AND (time, id) < (5, 5)",
	} {
		q := "EXPLAIN QUERY PLAN SELECT * FROM transitions"
		if where != "" {
			q += " WHERE " + where
		}
		rows, err := s.read.Query(q + " ORDER BY time DESC, id DESC LIMIT 10")
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var a, b, c int
			var plan string
			if err := rows.Scan(&a, &b, &c, &plan); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(plan, "TEMP B-TREE") {
				t.Errorf("%s: %s", where, plan)
			}
		}
		rows.Close()
	}
}

func BenchmarkApply(b *testing.B) {
	for _, batch := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(batch, "-a-commit"), func(b *testing.B) {
			s := fresh(b)
			seq, n := uint64(0), 0
			for b.Loop() {
				seq++
				r := record(seq)
				for i := range batch {
					at := epoch.Add(time.Duration(n) * time.Millisecond)
					a := alert("HighErrorRate", fmt.Sprint("service-", n%500), "critical", alertd.Firing, at)
					r.Commit.Entries = append(r.Commit.Entries, turned(a, alertd.Pending, alertd.ReasonHeldFor, at))
					n, _ = n+1, i
				}
				if err := s.Apply(b.Context(), []Record{r}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "transitions/s")
		})
	}
}

// contextOf is the test's context where it has one.
func contextOf(t any) context.Context {
	if t, ok := t.(interface{ Context() context.Context }); ok {
		return t.Context()
	}
	return context.Background()
}

// A history is of the journal that it met first, also after it was closed.
func TestBelongsTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	for i, c := range []struct {
		made time.Time
		want bool
	}{{epoch, true}, {epoch.Add(time.Millisecond), false}, {epoch, true}} {
		s, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.BelongsTo(t.Context(), c.made); got != c.want || err != nil {
			t.Errorf("%d: %t, %v", i, got, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
