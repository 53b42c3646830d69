package history

import (
	"database/sql"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"alertd"
)

// A file of before attempts had traces, decisions silences, digests an hour at which they are due, the whole a journal that it is of, and alerts numbers, is brought up to date with all that it holds.
func TestUpgrade(t *testing.T) {
	for _, version := range []int64{2, 4, 5, 6} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "history.db")
			older(t, path, version)
			s, err := Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			n, err := s.Notifications(t.Context(), Filter{Fingerprint: "00000000000000aa"})
			if err != nil || len(n) != 1 || len(n[0].Attempts) != 1 || n[0].Attempts[0].Outcome != alertd.Delivered || n[0].Attempts[0].TraceID != "" {
				t.Errorf("%+v, %v", n, err)
			}
			page, err := s.Transitions(t.Context(), Filter{Fingerprint: "00000000000000aa"})
			if err != nil || len(page.Transitions) != 1 || page.Transitions[0].Fingerprint != 0xaa || page.Transitions[0].Summary != "s" {
				t.Errorf("%+v, %v", page, err)
			}
			for _, q := range []Question{{Fingerprint: "00000000000000aa"}, {Since: time.UnixMicro(1_000), Until: time.UnixMicro(100_000_000)}} {
				chains, err := s.Why(t.Context(), q)
				if err != nil || len(chains) == 0 {
					t.Fatalf("%+v, %v", chains, err)
				}
				var kinds []Kind
				for _, step := range chains[0].Steps {
					kinds = append(kinds, step.Kind)
				}
				if got := fmt.Sprint(kinds); got != "[transition joined planned attempt released]" {
					t.Errorf("%+v: %s", q, got)
				}
			}
			// What nothing but a message or a decision tells of has a number as well.
			var numbers int
			if err := s.read.QueryRow("SELECT count(*) FROM fingerprints").Scan(&numbers); err != nil || numbers != 3 {
				t.Errorf("%d numbers, %v", numbers, err)
			}
			apply(t, s, story()...) // and it goes on
			if seq, err := s.LastSeq(t.Context()); err != nil || seq != 10 {
				t.Errorf("last sequence %d, %v", seq, err)
			}
		})
	}
}

// older writes a file as an older alertd did.
func older(t *testing.T, path string, version int64) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`
		INSERT INTO transitions VALUES (1048576, 5000000, 4000000, '00000000000000aa', 'Down', 'r', 'critical', 'api', 'inactive', 'firing', 1, 'true', 's',
			'', '', '', '{"alertname":"Down"}', '{}', '');
		INSERT INTO decisions (pos, n, time, kind, fingerprint, grp, receiver, reason, by, until, detail) VALUES
			(1048577, 0, 5000000, 'joined', '00000000000000aa', 'g', 'ops', 'immediate', '', 0, '{}'),
			(1048578, 0, 5000000, 'scheduled', '', 'g', '', 'group_wait', '', 6000000, ''),
			(1048579, 0, 65000000, 'withheld', '00000000000000bb', 'g', 'ops', 'grouped', '', 0, ''),
			(3145728, 0, 66000000, 'released', '', 'g', '', 'released', 'eve', 0, 'cli');
		INSERT INTO notifications (id, pos, time, receiver, integration, grp, group_labels, reason, digest, seq, status, severity, outcome, dead, next, text)
			VALUES ('n1', 1048580, 6000000, 'ops', 'slack/0', 'g', '{}', 'new', 0, 1, 'firing', 'critical', 'delivered', 0, 0, '');
		INSERT INTO notified VALUES ('n1', 0, '00000000000000aa', 'Down', 'r', 'critical', 'api', 'firing', 's'),
			('n1', 1, '00000000000000cc', 'Down', 'r', 'critical', 'db', 'firing', 's');
		INSERT INTO attempts (id, time, notification, n, outcome, class, detail, retry_after, latency, ref, next, dead)
			VALUES (2097152, 7000000, 'n1', 1, 'delivered', '', '', 0, 5, '', 0, 0)`); err != nil {
		t.Fatal(err)
	}
}

// What was decided about alerts, or at a time, is found without reading all decisions.
func TestDecisionsAreFound(t *testing.T) {
	s := fresh(t)
	plan := func(query string, args ...any) (lines []string) {
		rows, err := s.read.Query("EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var a, b, c int
			var line string
			if err := rows.Scan(&a, &b, &c, &line); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line)
		}
		return lines
	}
	for _, tt := range []struct {
		query string
		args  []any
		want  string
	}{
		{"SELECT fp FROM decisions WHERE fp <> 0 AND" + decidedIn, decidedBetween(1, 2), "SEARCH decisions USING PRIMARY KEY (pos>? AND pos<?)"},
		{"SELECT reason FROM decisions WHERE fp = " + numbered + " AND fp <> 0 AND time >= ?2", []any{"00000000000000aa", 1}, "SEARCH decisions USING INDEX decisions_fp (fp=? AND time>?)"},
		{"SELECT * FROM transitions WHERE fp = " + numbered, []any{"00000000000000aa"}, "SEARCH transitions USING INDEX transitions_fp (fp=?)"},
	} {
		lines := plan(tt.query, tt.args...)
		if !strings.Contains(strings.Join(lines, "\n"), tt.want) {
			t.Errorf("%s\n%s", tt.query, strings.Join(lines, "\n"))
		}
		for _, line := range lines {
			if strings.HasPrefix(line, "SCAN decisions") || strings.HasPrefix(line, "SCAN transitions") || strings.HasPrefix(line, "SCAN fingerprints") {
				t.Errorf("%s\n%s", tt.query, line)
			}
		}
	}
}

// A clock that is put back, over minutes, hides nothing that was decided at a time.
func TestDecisionsWhileTheClockIsPutBack(t *testing.T) {
	s := fresh(t)
	about := alert("Down", "api", "critical", alertd.Firing, epoch)
	apply(t, s, record(1, turned(about, alertd.Inactive, alertd.ReasonTrue, epoch.Add(-time.Hour))))
	seq := uint64(1)
	at := func(minutes int) {
		seq++
		r := record(seq, alertd.Entry{Time: epoch.Add(time.Duration(minutes) * time.Minute), Withheld: &alertd.Withheld{
			Fingerprint: about.Fingerprint, Group: "g", Receiver: "ops", Reason: alertd.ReasonGrouped, Detail: fmt.Sprint(seq),
		}})
		apply(t, s, r)
	}
	for _, m := range []int{0, 10, 11, 2, 3, 10, 20, 1} {
		at(m)
	}
	for m, want := range map[int]int{0: 1, 1: 1, 2: 1, 3: 1, 10: 2, 11: 1, 20: 1, 4: 0, 30: 0} {
		from := micros(epoch.Add(time.Duration(m) * time.Minute))
		var got int
		if err := s.read.QueryRow("SELECT count(*) FROM decisions WHERE"+decidedIn, decidedBetween(from, from+60_000_000)...).Scan(&got); err != nil || got != want {
			t.Errorf("minute %d: %d decisions of %d, %v", m, got, want, err)
		}
		chains, err := s.Why(t.Context(), Question{Since: instant(from), Until: instant(from + 60_000_000)})
		if err != nil || len(chains) != min(want, 1) {
			t.Errorf("minute %d: %d chains, %v", m, len(chains), err)
		}
	}
}

// An alert of which nothing is left has no number, and gets one when it comes again.
func TestPrunedNumbers(t *testing.T) {
	s := fresh(t)
	a := alert("Down", "api", "critical", alertd.Firing, epoch)
	b := alert("Down", "db", "critical", alertd.Firing, epoch.Add(time.Hour))
	apply(t, s, record(1, turned(a, alertd.Inactive, alertd.ReasonTrue, epoch)), record(2, turned(b, alertd.Inactive, alertd.ReasonTrue, epoch.Add(time.Hour))))
	if err := s.Prune(t.Context(), epoch.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var left string
	if err := s.read.QueryRow("SELECT group_concat(fingerprint) FROM fingerprints").Scan(&left); err != nil || left != b.Fingerprint.String() {
		t.Errorf("left: %s, %v", left, err)
	}
	apply(t, s, record(3, turned(a, alertd.Inactive, alertd.ReasonTrue, epoch.Add(2*time.Hour))))
	for _, x := range []alertd.Alert{a, b} {
		page, err := s.Transitions(t.Context(), Filter{Fingerprint: x.Fingerprint.String()})
		if err != nil || len(page.Transitions) != 1 || page.Transitions[0].Fingerprint != x.Fingerprint {
			t.Errorf("%+v, %v", page, err)
		}
	}
}

// What a transaction that fails has numbered is not remembered.
func TestNumbersOfAFailedTransaction(t *testing.T) {
	s := fresh(t)
	a := alert("Down", "api", "critical", alertd.Firing, epoch)
	apply(t, s, record(1))
	bad := []Record{record(3, turned(a, alertd.Inactive, alertd.ReasonTrue, epoch)), record(2)}
	if err := s.Apply(t.Context(), bad); err == nil {
		t.Fatal("sequences that fall were applied")
	}
	b := alert("Down", "db", "critical", alertd.Firing, epoch)
	apply(t, s, record(4, turned(b, alertd.Inactive, alertd.ReasonTrue, epoch)), record(5, turned(a, alertd.Inactive, alertd.ReasonTrue, epoch)))
	for _, x := range []alertd.Alert{a, b} {
		page, err := s.Transitions(t.Context(), Filter{Fingerprint: x.Fingerprint.String()})
		if err != nil || len(page.Transitions) != 1 || page.Transitions[0].Service != x.Service() {
			t.Errorf("%s: %+v, %v", x.Service(), page, err)
		}
	}
}
