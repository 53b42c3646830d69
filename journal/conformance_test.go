package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"alertd"
	"alertd/natsbus"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	// The client library's own: where an object is stored before this goroutine of its Put has begun, it waits on a channel
	// that is gone. That is rare, and costs a few kilobytes.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"))
}

// subjectUnderTest is one empty journal, and what a test may do to it behind its back.
type subjectUnderTest struct {
	handle func() *NATS                      // another node's view
	write  func(version string, body []byte) // a message as anybody could write it
	drop   func(seq uint64)                  // a message vanishes
	damage func(seq uint64)                  // the snapshot of seq changes
	reset  func()                            // the journal is gone, the snapshots are not
	forget func()                            // the snapshots are gone
}

// empty is a journal in a server of its own.
func empty(t testing.TB) subjectUnderTest {
	b := openBus(t, t.TempDir())
	js := b.JetStream()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	return subjectUnderTest{
		handle: func() *NATS { return openLog(t, b) },
		write: func(version string, body []byte) {
			_, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: body, Header: nats.Header{formatHeader: {version}}})
			must(err)
		},
		drop: func(seq uint64) {
			s, err := js.Stream(t.Context(), streamName)
			must(err)
			must(s.DeleteMsg(t.Context(), seq))
		},
		damage: func(seq uint64) {
			bucket, err := js.ObjectStore(t.Context(), snapshotBucket)
			must(err)
			for _, name := range slots {
				info, err := bucket.GetInfo(t.Context(), name)
				if errors.Is(err, jetstream.ErrObjectNotFound) || err == nil && info.Metadata[sequenceMeta] != fmt.Sprint(seq) {
					continue
				}
				must(err)
				data, err := bucket.GetBytes(t.Context(), name)
				must(err)
				data[len(data)-1] ^= 1
				_, err = bucket.Put(t.Context(), info.ObjectMeta, bytes.NewReader(data))
				must(err)
			}
		},
		reset: func() {
			// nats-server 2.15.2 may find the old files again in a stream that is made right after it was deleted.
			for last := uint64(1); last > 0; {
				must(js.DeleteStream(t.Context(), streamName))
				must(b.EnsureStreams(t.Context(), natsbus.Limits{}))
				var err error
				last, err = openLog(t, b).Last(t.Context())
				must(err)
			}
		},
		forget: func() {
			for found := true; found; { // as above
				if err := js.DeleteObjectStore(t.Context(), snapshotBucket); !errors.Is(err, jetstream.ErrStreamNotFound) {
					must(err)
				}
				_, kept, err := openLog(t, b).kept(t.Context())
				must(err)
				found = len(kept) > 0
			}
		},
	}
}

func openBus(t testing.TB, dir string) *natsbus.Bus {
	t.Helper()
	b, err := natsbus.Open(t.Context(), natsbus.Options{Listen: "127.0.0.1:0", StoreDir: dir, MaxStore: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := b.EnsureStreams(t.Context(), natsbus.Limits{EventsMaxAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	return b
}

func openLog(t testing.TB, b *natsbus.Bus) *NATS {
	t.Helper()
	n, err := OpenNATS(t.Context(), b.JetStream(), "a", slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var start = time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)

// commitN is a commit that a test can tell from others.
func commitN(n int) alertd.Commit {
	return alertd.Commit{Epoch: 1, Node: "a", Time: start.Add(time.Duration(n) * time.Second), Checkpoint: uint64(n), Entries: []alertd.Entry{
		{Time: start, Transition: &alertd.Transition{From: alertd.Pending, Reason: alertd.ReasonHeldFor, Alert: alertd.Alert{
			Fingerprint: alertd.Fingerprint(n), Rule: "shop.yaml/errors/ErrorRate",
			Labels:      labels.FromStrings("alertname", "ErrorRate", "service", "checkout", "severity", "critical"),
			Annotations: labels.FromStrings("summary", "12% of requests to checkout fail"),
			State:       alertd.Firing, Value: 0.12, ActiveAt: start, FiredAt: start, At: start,
		}}},
		{Time: start, Scheduled: &alertd.Scheduled{Group: `{}:{service="checkout"}`, Due: start.Add(30 * time.Second), Reason: alertd.ReasonGrouped}},
	}}
}

func fill(t testing.TB, l *NATS, n int) {
	t.Helper()
	for i := range n {
		if _, err := l.Append(t.Context(), commitN(i+1)); err != nil {
			t.Fatal(err)
		}
	}
}

// checkpoints replays and returns what makes commitN's commits different.
func checkpoints(t testing.TB, l *NATS, from uint64) (got []uint64, err error) {
	t.Helper()
	want := from
	err = l.Replay(t.Context(), from, func(seq uint64, c alertd.Commit) error {
		if seq != want {
			t.Errorf("replay gave sequence %d, want %d", seq, want)
		}
		want++
		got = append(got, c.Checkpoint)
		return nil
	})
	return got, err
}

func wantCorrupt(t testing.TB, err error, seq uint64, reason string) {
	t.Helper()
	c, ok := errors.AsType[*CorruptError](err)
	if !ok || !errors.Is(err, ErrCorrupt) || c.Seq != seq || !strings.Contains(c.Reason, reason) {
		t.Errorf("error %v, want corruption at %d: %s", err, seq, reason)
	}
}

// What the journal promises.
func TestJournal(t *testing.T) {
	t.Parallel()
	t.Run("an empty journal", func(t *testing.T) {
		l := empty(t).handle()
		if last, err := l.Last(t.Context()); last != 0 || err != nil {
			t.Errorf("last %d, %v", last, err)
		}
		for _, from := range []uint64{0, 1} {
			if err := l.Replay(t.Context(), from, func(uint64, alertd.Commit) error { return errors.New("called") }); err != nil {
				t.Error(err)
			}
		}
		if seq, state, err := l.LoadSnapshot(t.Context()); seq != 0 || state != nil || err != nil {
			t.Errorf("snapshot %d %q, %v", seq, state, err)
		}
		_, err := checkpoints(t, l, 2)
		wantCorrupt(t, err, 1, "ends at 0")
	})

	t.Run("order, and what is read is what was written", func(t *testing.T) {
		s := empty(t)
		l := s.handle()
		var want []alertd.Commit
		for i := range 20 {
			c := commitN(i + 1)
			seq, err := l.Append(t.Context(), c)
			if err != nil || seq != uint64(i+1) {
				t.Fatalf("append %d: %d, %v", i+1, seq, err)
			}
			want = append(want, c)
		}
		if last, err := l.Last(t.Context()); last != 20 || err != nil {
			t.Errorf("last %d, %v", last, err)
		}
		for _, l := range []*NATS{l, s.handle()} {
			var got []alertd.Commit
			prev := ""
			err := l.Replay(t.Context(), 1, func(_ uint64, c alertd.Commit) error {
				if (c.Prev == "") != (prev == "" && len(got) == 0) || c.Prev == prev && prev != "" {
					t.Errorf("commit %d has checksum %q after %q", len(got)+1, c.Prev, prev)
				}
				prev, c.Prev = c.Prev, ""
				got = append(got, c)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got, cmp.Comparer(labels.Equal)); d != "" {
				t.Error(d)
			}
		}
	})

	t.Run("trimmed up to what both snapshots hold", func(t *testing.T) {
		s := empty(t)
		l := s.handle()
		fill(t, l, 10)
		trim := func(n int, want uint64) {
			t.Helper()
			if got, err := l.Trim(t.Context(), start.Add(time.Duration(n)*time.Second)); got != want || err != nil {
				t.Errorf("trim before commit %d: %d, %v; want %d", n, got, err, want)
			}
		}
		save := func(seq uint64) {
			t.Helper()
			if err := l.SaveSnapshot(t.Context(), seq, strings.NewReader("state")); err != nil {
				t.Fatal(err)
			}
		}
		trim(100, 0) // no snapshot holds anything
		save(4)
		trim(100, 0) // one may be damaged
		save(8)
		trim(1, 0)
		trim(3, 2)
		trim(3, 0)
		trim(100, 3) // the commit of the older snapshot stays: the snapshot is compared with it

		for _, l := range []*NATS{l, s.handle()} {
			if seq, _, err := l.LoadSnapshot(t.Context()); seq != 8 || err != nil {
				t.Errorf("snapshot %d, %v", seq, err)
			}
			if got, err := checkpoints(t, l, 4); err != nil || !cmp.Equal(got, []uint64{4, 5, 6, 7, 8, 9, 10}) {
				t.Errorf("%v, %v", got, err)
			}
			if got, err := checkpoints(t, l, 3); !errors.Is(err, ErrTrimmed) {
				t.Errorf("%v, %v", got, err)
			}
			done := errors.New("all are there")
			var got []uint64
			err := l.Follow(t.Context(), 1, func(rs []Record) error {
				for _, r := range rs {
					got = append(got, r.Seq)
				}
				if got[len(got)-1] == 10 {
					return done
				}
				return nil
			})
			if !errors.Is(err, done) || !cmp.Equal(got, []uint64{4, 5, 6, 7, 8, 9, 10}) {
				t.Errorf("followed %v, %v", got, err)
			}
		}
		if seq, err := l.Append(t.Context(), commitN(11)); seq != 11 || err != nil {
			t.Errorf("append: %d, %v", seq, err)
		}
		s.drop(5) // not on purpose
		_, err := checkpoints(t, s.handle(), 4)
		wantCorrupt(t, err, 5, "missing")
	})

	t.Run("replay from the middle, and an error of fn", func(t *testing.T) {
		s := empty(t)
		l := s.handle()
		fill(t, l, 10)
		got, err := checkpoints(t, l, 8)
		if err != nil || !cmp.Equal(got, []uint64{8, 9, 10}) {
			t.Errorf("%v, %v", got, err)
		}
		if got, err := checkpoints(t, l, 11); err != nil || len(got) != 0 {
			t.Errorf("%v, %v", got, err)
		}
		_, err = checkpoints(t, l, 12)
		wantCorrupt(t, err, 11, "11 was read before")
		boom := errors.New("boom")
		n := 0
		if err := l.Replay(t.Context(), 1, func(uint64, alertd.Commit) error { n++; return boom }); !errors.Is(err, boom) || n != 1 {
			t.Errorf("%v after %d calls", err, n)
		}
		ended, cancel := context.WithCancelCause(t.Context())
		cancel(boom)
		if err := l.Replay(ended, 1, func(uint64, alertd.Commit) error { return nil }); err == nil {
			t.Error("replay ignored its context")
		}
		if _, err := l.Append(ended, commitN(11)); err == nil || errors.Is(err, ErrUnknown) {
			t.Errorf("append after the end of its context: %v", err)
		}
	})

	t.Run("the fence", func(t *testing.T) {
		s := empty(t)
		a, b := s.handle(), s.handle()
		fill(t, a, 2)
		for range 2 { // it stays shut
			if _, err := b.Append(t.Context(), commitN(3)); !errors.Is(err, ErrFenced) {
				t.Fatalf("a handle that has seen nothing appended: %v", err)
			}
		}
		// Following is not folding.
		ctx, cancel := context.WithCancel(t.Context())
		if err := b.Follow(ctx, 1, func([]Record) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if _, err := b.Append(t.Context(), commitN(3)); !errors.Is(err, ErrFenced) {
			t.Fatalf("following moved the fence: %v", err)
		}
		if _, err := checkpoints(t, b, 1); err != nil {
			t.Fatal(err)
		}
		if seq, err := b.Append(t.Context(), commitN(3)); err != nil || seq != 3 {
			t.Fatalf("%d, %v", seq, err)
		}
		if _, err := a.Append(t.Context(), commitN(3)); !errors.Is(err, ErrFenced) {
			t.Fatalf("the deposed one appended: %v", err)
		}
		// A handle that is opened now may append, but not with an epoch that is over.
		c := s.handle()
		newer := commitN(4)
		newer.Epoch = 7
		if _, err := c.Append(t.Context(), newer); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Append(t.Context(), commitN(5)); !errors.Is(err, ErrFenced) {
			t.Errorf("an old epoch was appended: %v", err)
		}
		if _, err := s.handle().Append(t.Context(), commitN(5)); !errors.Is(err, ErrFenced) {
			t.Errorf("an old epoch was appended: %v", err)
		}
		if got, err := checkpoints(t, a, 1); err != nil || !cmp.Equal(got, []uint64{1, 2, 3, 4}) {
			t.Errorf("%v, %v", got, err)
		}
	})

	t.Run("racing writers", func(t *testing.T) {
		s := empty(t)
		const each = 25
		var wg sync.WaitGroup
		for i := range 3 {
			l := s.handle()
			wg.Go(func() {
				for n := 0; n < each; {
					last := uint64(0)
					if err := l.Replay(t.Context(), 1, func(seq uint64, _ alertd.Commit) error { last = seq; return nil }); err != nil {
						t.Error(err)
						return
					}
					c := commitN(int(last) + 1) // decided from what was read
					c.Node = fmt.Sprint("writer ", i)
					seq, err := l.Append(t.Context(), c)
					switch {
					case err == nil && seq == last+1:
						n++
					case !errors.Is(err, ErrFenced):
						t.Errorf("append: %d, %v", seq, err)
						return
					}
				}
			})
		}
		wg.Wait()
		got, err := checkpoints(t, s.handle(), 1)
		if err != nil || len(got) != 3*each {
			t.Fatalf("%d commits, %v", len(got), err)
		}
		for i, n := range got {
			if n != uint64(i+1) {
				t.Fatalf("commit %d was decided from %d", i+1, n-1)
			}
		}
	})

	t.Run("follow while others append", func(t *testing.T) {
		s := empty(t)
		l := s.handle()
		fill(t, l, 5)
		const total = 700 // more than one batch
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 5; i < total; i++ {
				if _, err := l.Append(t.Context(), commitN(i+1)); err != nil {
					t.Error(err)
					return
				}
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		next := uint64(3)
		done := errors.New("enough")
		err := s.handle().Follow(ctx, 3, func(batch []Record) error {
			if len(batch) == 0 || len(batch) > followBatch {
				t.Errorf("a batch of %d", len(batch))
			}
			for _, r := range batch {
				if r.Seq != next || r.Commit.Checkpoint != next {
					t.Errorf("got %d (checkpoint %d), want %d", r.Seq, r.Commit.Checkpoint, next)
				}
				next++
			}
			if next == total+1 {
				return done
			}
			return nil
		})
		wg.Wait()
		if !errors.Is(err, done) {
			t.Errorf("%v at %d", err, next)
		}
	})

	t.Run("a broken chain", func(t *testing.T) {
		for name, c := range map[string]struct {
			version string
			body    func() []byte
			reason  string
		}{
			"not JSON":         {"1", func() []byte { return []byte("{") }, "unexpected end"},
			"another format":   {"9", func() []byte { return []byte("{}") }, `format "9"`},
			"unknown decision": {"1", func() []byte { return []byte(`{"entries":[{"time":"2026-01-15T10:30:00Z","renamed":{}}]}`) }, "entry 1 holds 0"},
			"wrong checksum": {"1", func() []byte {
				c := commitN(4)
				c.Prev = strings.Repeat("0", 64)
				b, err := encode(c)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}, "does not follow"},
		} {
			t.Run(name, func(t *testing.T) {
				s := empty(t)
				fill(t, s.handle(), 3)
				s.write(c.version, c.body())
				l := s.handle()
				got, err := checkpoints(t, l, 1)
				wantCorrupt(t, err, 4, c.reason)
				if len(got) != 3 {
					t.Errorf("the sound commits were not delivered: %v", got)
				}
				_, err = checkpoints(t, l, 4)
				wantCorrupt(t, err, 4, c.reason)
				followed := 0
				err = l.Follow(t.Context(), 1, func(b []Record) error { followed += len(b); return nil })
				wantCorrupt(t, err, 4, c.reason)
				if followed != 3 {
					t.Errorf("followed %d", followed)
				}
			})
		}
	})

	t.Run("a gap", func(t *testing.T) {
		s := empty(t)
		fill(t, s.handle(), 6)
		s.drop(3)
		l := s.handle()
		got, err := checkpoints(t, l, 1)
		wantCorrupt(t, err, 3, "missing")
		if len(got) != 2 {
			t.Errorf("the sound commits were not delivered: %v", got)
		}
		if got, err := checkpoints(t, l, 5); err != nil || !cmp.Equal(got, []uint64{5, 6}) {
			t.Errorf("behind the gap: %v, %v", got, err)
		}
	})

	t.Run("not a commit", func(t *testing.T) {
		l := empty(t).handle()
		fill(t, l, 1)
		none := commitN(2)
		none.Entries[1].Scheduled = nil
		if _, err := l.Append(t.Context(), none); err == nil || !strings.Contains(err.Error(), "entry 2 of 2 holds 0 decisions") {
			t.Errorf("an entry without a decision: %v", err)
		}
		if got, err := checkpoints(t, l, 1); err != nil || len(got) != 1 {
			t.Errorf("%v, %v", got, err)
		}
	})

	t.Run("snapshots", func(t *testing.T) {
		s := empty(t)
		l := s.handle()
		fill(t, l, 9)
		save := func(seq uint64, state string) {
			t.Helper()
			if err := l.SaveSnapshot(t.Context(), seq, strings.NewReader(state)); err != nil {
				t.Fatal(err)
			}
		}
		want := func(seq uint64, state string) {
			t.Helper()
			got, b, err := s.handle().LoadSnapshot(t.Context())
			if err != nil || got != seq || string(b) != state {
				t.Errorf("loaded %d (%d bytes), %v; want %d", got, len(b), err, seq)
			}
		}
		if err := l.SaveSnapshot(t.Context(), 10, strings.NewReader("")); err == nil {
			t.Error("a snapshot of a commit that is not there was saved")
		}
		if err := l.SaveSnapshot(t.Context(), 0, strings.NewReader("")); err == nil {
			t.Error("a snapshot of sequence 0 was saved")
		}
		save(3, "three")
		want(3, "three")
		save(5, strings.Repeat("five", 100_000))
		want(5, strings.Repeat("five", 100_000))
		save(4, "late")
		want(5, strings.Repeat("five", 100_000))
		save(7, "seven")
		save(9, "nine")
		want(9, "nine")
		s.damage(9)
		want(7, "seven")
		s.damage(7)
		if seq, _, err := l.LoadSnapshot(t.Context()); !errors.Is(err, ErrNoSnapshot) || seq != 0 {
			t.Errorf("loaded %d, %v", seq, err)
		}
	})

	t.Run("snapshots of another journal", func(t *testing.T) {
		s := empty(t)
		l := s.handle()
		fill(t, l, 5)
		for _, seq := range []uint64{2, 5} {
			if err := l.SaveSnapshot(t.Context(), seq, strings.NewReader("old")); err != nil {
				t.Fatal(err)
			}
		}
		s.reset()
		l = s.handle()
		for i := range 3 {
			if _, err := l.Append(t.Context(), commitN(100+i)); err != nil {
				t.Fatal(err)
			}
		}
		if seq, _, err := l.LoadSnapshot(t.Context()); !errors.Is(err, ErrNoSnapshot) {
			t.Errorf("loaded %d, %v", seq, err)
		}
		if err := l.SaveSnapshot(t.Context(), 3, strings.NewReader("new")); err != nil {
			t.Fatal(err)
		}
		if seq, b, err := l.LoadSnapshot(t.Context()); err != nil || seq != 3 || string(b) != "new" {
			t.Errorf("loaded %d %q, %v", seq, b, err)
		}
	})

	// Any order of appends, replays and snapshots by two nodes leaves what a list would have.
	t.Run("model", func(t *testing.T) {
		s := empty(t)
		rapid.Check(t, func(rt *rapid.T) {
			s.reset()
			s.forget()
			handles := []*NATS{s.handle(), s.handle()}
			seen := []uint64{0, 0}
			model := []uint64{}
			snapshot := uint64(0)
			for range rapid.IntRange(1, 25).Draw(rt, "steps") {
				h := rapid.IntRange(0, 1).Draw(rt, "handle")
				switch rapid.IntRange(0, 4).Draw(rt, "step") {
				case 0, 1:
					n := rapid.IntRange(1, 1<<20).Draw(rt, "n")
					seq, err := handles[h].Append(t.Context(), commitN(n))
					if fresh := seen[h] == uint64(len(model)); fresh != (err == nil) || !fresh && !errors.Is(err, ErrFenced) {
						rt.Fatalf("append: %v, has seen %d of %d", err, seen[h], len(model))
					}
					if err == nil {
						model = append(model, uint64(n))
						if seen[h]++; seq != seen[h] {
							rt.Fatalf("append gave %d, want %d", seq, seen[h])
						}
					}
				case 2:
					from := rapid.Uint64Range(1, uint64(len(model))+1).Draw(rt, "from")
					got, err := checkpoints(t, handles[h], from)
					if err != nil || len(got) != len(model)-int(from)+1 {
						rt.Fatalf("replay from %d: %v, %v; want %v", from, got, err, model)
					}
					for i, n := range got {
						if n != model[int(from)-1+i] {
							rt.Fatalf("replay from %d: %v; want %v", from, got, model)
						}
					}
					seen[h] = uint64(len(model))
				case 3:
					if len(model) == 0 {
						continue
					}
					seq := rapid.Uint64Range(1, uint64(len(model))).Draw(rt, "snapshot")
					if err := handles[h].SaveSnapshot(t.Context(), seq, strings.NewReader(fmt.Sprint(seq))); err != nil {
						rt.Fatal(err)
					}
					snapshot = max(snapshot, seq)
				case 4:
					seq, b, err := handles[h].LoadSnapshot(t.Context())
					if err != nil || seq != snapshot || seq > 0 && string(b) != fmt.Sprint(seq) {
						rt.Fatalf("snapshot %d %q, %v; want %d", seq, b, err, snapshot)
					}
				}
			}
		})
	})
}
