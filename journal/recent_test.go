package journal

import (
	"context"
	"errors"
	"testing"
	"time"

	"alertd"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
)

// What a follower gets of its own node's commits is what it would read.
func TestFollowOwnCommits(t *testing.T) {
	t.Parallel()
	b := openBus(t, t.TempDir())
	l := openLog(t, b)
	const total = 50
	for i := range total {
		c := commitOf(3)
		c.Checkpoint = uint64(i + 1)
		if i == 7 { // it is written as something else
			c.Entries[0].Transition.Alert.Rule = "not \xff UTF-8"
		}
		if _, err := l.Append(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	other := openLog(t, b)
	read := func(l *NATS) (out []Record) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		enough := errors.New("enough")
		err := l.Follow(ctx, 1, func(rs []Record) error {
			if out = append(out, rs...); len(out) == total {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
		return out
	}
	same := cmp.Options{cmp.Comparer(labels.Equal), cmp.Comparer(time.Time.Equal)}
	if diff := cmp.Diff(read(other), read(l), same); diff != "" {
		t.Errorf("not what is in the journal:\n%s", diff)
	}
}

// A message that is not what was published at its place is never taken for it.
func TestRecent(t *testing.T) {
	t.Parallel()
	var r recent
	put := func(seq uint64, body string) {
		r.put(tail{seq: seq, sum: sumOf([]byte(body))}, []byte(body), alertd.Commit{Checkpoint: seq})
	}
	put(1, "refused")
	put(1, "one") // the second try
	put(2, "two")
	put(4, "four")
	for _, c := range []struct {
		seq  uint64
		body string
		want bool
	}{{1, "one", true}, {1, "one", false}, {2, "of another node", false}, {3, "four", false}, {4, "four", true}, {5, "five", false}} {
		got, ok := r.take(c.seq, sumOf([]byte(c.body)))
		if ok != c.want || ok && got.Checkpoint != c.seq {
			t.Errorf("%d %q: %v %v", c.seq, c.body, got.Checkpoint, ok)
		}
	}
	if r.bytes != 0 || len(r.sent) != 0 {
		t.Errorf("%d bytes of %d commits are left", r.bytes, len(r.sent))
	}

	body := make([]byte, maxRecent/4)
	for seq := range uint64(9) {
		r.put(tail{seq: seq}, body, alertd.Commit{})
	}
	if len(r.sent) != 4 || r.sent[0].seq != 0 || r.bytes != maxRecent {
		t.Errorf("it keeps %d bytes of %d commits", r.bytes, len(r.sent))
	}
	if _, ok := (*recent)(nil).take(1, ""); ok {
		t.Error("who has none took one")
	}
}
