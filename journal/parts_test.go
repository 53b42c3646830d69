package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"alertd"
)

// bigCommit takes n messages, more than one, and can be told from others by its checkpoint.
func bigCommit(checkpoint, n int) alertd.Commit {
	c := commitN(checkpoint)
	c.Entries[0].Transition.Alert.Annotations = labels.FromStrings("summary", strings.Repeat("x", (n-1)*MaxMessage))
	return c
}

// begin writes the first n of some small messages that a commit is cut into, as a writer does that dies then.
func begin(t testing.TB, s subjectUnderTest, c alertd.Commit, n, of int) {
	t.Helper()
	at := s.handle().tail
	text, err := at.next(c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		piece := text[len(text)*i/of : len(text)*(i+1)/of]
		body, err := encodePart(head{c.Epoch, c.Time, at.sum, i, i+1 < of}, piece)
		if err != nil {
			t.Fatal(err)
		}
		s.write(formatPart, body)
		at = tail{seq: at.seq + 1, sum: sumOf(body), epoch: c.Epoch}
	}
}

// follow returns what a follower gets until a commit has a checkpoint.
func follow(t testing.TB, l *NATS, from, until uint64) (out []Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	enough := errors.New("enough")
	err := l.Follow(ctx, from, func(rs []Record) error {
		out = append(out, rs...)
		if out[len(out)-1].Commit.Checkpoint == until {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	return out
}

// A commit that takes several messages is one all the same: whoever reads gets all of it or nothing.
func TestCommitsOfSeveralMessages(t *testing.T) {
	t.Parallel()
	t.Run("a commit of several messages", func(t *testing.T) {
		s := empty(t)
		l := s.handle()
		want := map[uint64]alertd.Commit{1: commitN(1)}
		fill(t, l, 1)
		c := bigCommit(2, 3)
		seq, err := l.Append(t.Context(), c)
		if err != nil || seq != 4 {
			t.Fatalf("%d, %v", seq, err)
		}
		want[seq] = c
		if seq, err = l.Append(t.Context(), commitN(3)); err != nil || seq != 5 {
			t.Fatalf("%d, %v", seq, err)
		}
		want[seq] = commitN(3)
		check := func(how string, got map[uint64]alertd.Commit) {
			t.Helper()
			for seq, c := range got {
				c.Prev = ""
				got[seq] = c
			}
			if d := cmp.Diff(want, got, cmp.Comparer(labels.Equal), cmp.Comparer(time.Time.Equal)); d != "" {
				t.Errorf("%s: %.2000s", how, d)
			}
		}
		for i, l := range []*NATS{l, s.handle()} {
			got := map[uint64]alertd.Commit{}
			for _, r := range follow(t, l, 1, 3) {
				got[r.Seq] = r.Commit
			}
			check(fmt.Sprint("followed by ", i), got)
			got = map[uint64]alertd.Commit{}
			if err := l.Replay(t.Context(), 1, func(seq uint64, c alertd.Commit) error { got[seq] = c; return nil }); err != nil {
				t.Error(err)
			}
			check(fmt.Sprint("replayed by ", i), got)
			for from, first := range map[uint64]uint64{2: 4, 5: 5} {
				if rs := follow(t, l, from, 3); rs[0].Seq != first {
					t.Errorf("from %d: the first is %d, want %d", from, rs[0].Seq, first)
				}
			}
		}

		// It is a place like any other: for a snapshot, and for the end of what is trimmed.
		for _, seq := range []uint64{4, 5} {
			if err := l.SaveSnapshot(t.Context(), seq, strings.NewReader("state")); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := l.Trim(t.Context(), start.Add(time.Hour)); err != nil || got != 3 {
			t.Errorf("trimmed up to %d, %v", got, err)
		}
		if rs := follow(t, s.handle(), 1, 3); len(rs) != 1 || rs[0].Seq != 5 {
			t.Errorf("%d commits after a half one", len(rs))
		}
	})

	t.Run("commits that are not whole", func(t *testing.T) {
		s := empty(t)
		rapid.Check(t, func(rt *rapid.T) {
			s.reset()
			var want []uint64
			for n := range rapid.IntRange(1, 8).Draw(rt, "commits") {
				c := commitOf(rapid.IntRange(1, 3).Draw(rt, "alerts"))
				c.Checkpoint = uint64(n + 1)
				messages := rapid.IntRange(1, 4).Draw(rt, "messages")
				written := rapid.IntRange(0, messages).Draw(rt, "written")
				if begin(t, s, c, written, messages); written == messages {
					want = append(want, c.Checkpoint)
				}
			}
			l := s.handle()
			got := []uint64(nil)
			read := func(c alertd.Commit) {
				if got = append(got, c.Checkpoint); len(c.Entries) == 0 || len(c.Entries)%2 != 0 {
					rt.Errorf("commit %d has %d entries", c.Checkpoint, len(c.Entries))
				}
			}
			if err := l.Replay(t.Context(), 1, func(_ uint64, c alertd.Commit) error { read(c); return nil }); err != nil || !cmp.Equal(got, want) {
				rt.Fatalf("%v, %v; want %v", got, err, want)
			}
			const last = 99
			if _, err := l.Append(t.Context(), commitN(last)); err != nil {
				rt.Fatal(err)
			}
			got = nil
			for _, r := range follow(t, s.handle(), 1, last) {
				read(r.Commit)
			}
			if want = append(want, last); !cmp.Equal(got, want) {
				rt.Fatalf("followed %v; want %v", got, want)
			}
		})
	})

	t.Run("a writer that is fenced in the middle", func(t *testing.T) {
		s := empty(t)
		fill(t, s.handle(), 1)
		begin(t, s, commitOf(2), 2, 3)
		slow := s.handle() // it has seen what whoever wrote these two has
		if _, err := s.handle().Append(t.Context(), commitN(3)); err != nil {
			t.Fatal(err)
		}
		if _, err := slow.Append(t.Context(), bigCommit(2, 3)); !errors.Is(err, ErrFenced) {
			t.Errorf("it goes on: %v", err)
		}
		if rs := follow(t, s.handle(), 1, 3); len(rs) != 2 {
			t.Errorf("%d commits", len(rs))
		}
	})

	t.Run("a part that continues nothing", func(t *testing.T) {
		s := empty(t)
		l := s.handle()
		fill(t, l, 2)
		body, err := encodePart(head{Epoch: 1, Time: start, Prev: l.tail.sum, Part: 1}, []byte("}"))
		if err != nil {
			t.Fatal(err)
		}
		s.write(formatPart, body)
		_, err = checkpoints(t, s.handle(), 1)
		wantCorrupt(t, err, 3, "part 2 of a commit of which 0 are there")
	})
}

// Whatever a message holds, reading it gives a part that can be written again, or an error.
func FuzzDecodePart(f *testing.F) {
	b, err := encodePart(head{Epoch: 1, Time: start, Prev: sumOf(nil), Part: 1, More: true}, []byte(`{"entries":`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"part":-1}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, piece, err := decodePart(b)
		if err != nil {
			return
		}
		first, err := encodePart(h, piece)
		if err != nil {
			t.Fatalf("read, but cannot be written: %v", err)
		}
		again, rest, err := decodePart(first)
		if err != nil || !bytes.Equal(rest, piece) {
			t.Fatalf("cannot read what was written: %v", err)
		}
		if second, err := encodePart(again, rest); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%v\n%s\n%s", err, first, second)
		}
	})
}
