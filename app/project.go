package app

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"alertd/history"
	"alertd/journal"
)

// historyPace is how often the history is written while alerts keep changing. A transaction copies every page that it touches, and
// those of a second touch nearly the same pages: one of many commits costs half of what many of one do.
const historyPace = 250 * time.Millisecond

// project keeps the history up with the journal.
func (a *App) project(ctx context.Context) error {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		seq, err := a.history.LastSeq(ctx)
		if err == nil {
			a.projected.reached(seq)
			err = a.journal.Follow(ctx, seq+1, func(rs []journal.Record) error {
				a.projected.begin(rs[0].Commit.Time)
				if err := a.record(ctx, rs); err != nil {
					return err
				}
				a.historyState.ok()
				wait = time.Second
				newest := rs[len(rs)-1]
				a.projected.reached(newest.Seq)
				a.projected.gather(ctx, newest.Commit.Time)
				return nil
			})
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, journal.ErrGone) {
			return err // what follows is of another journal
		}
		a.historyState.failed(err)
		a.log.Error("history is not written; it catches up from the journal", "error", err, "retry_in", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// record applies commits to the history.
func (a *App) record(ctx context.Context, commits []journal.Record) (err error) {
	ctx, span := a.spans.applied(ctx, commits)
	defer func() { ended(span, err) }()
	out := make([]history.Record, len(commits))
	for i, c := range commits {
		out[i] = history.Record{Seq: c.Seq, Commit: c.Commit}
	}
	return a.history.Apply(ctx, out)
}

// abreast lets h answer from a history that has what the journal had when somebody asked: whoever is told of an alert finds it
// there. In a storm, with more to write than historyPace, the answer is from what there is, and says in a header by how many seconds that
// is behind.
func (a *App) abreast(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if readsHistory(r.URL.Path) {
			if behind := a.behind(r.Context()); behind > 0 {
				w.Header().Set(BehindHeader, strconv.Itoa(int(math.Ceil(behind.Seconds()))))
			}
		}
		h.ServeHTTP(w, r)
	})
}

// behind is by how much the history lags behind the journal, which it gets a moment to catch up with. Where the journal does not
// answer it is 0: /health/ready says why.
func (a *App) behind(ctx context.Context) time.Duration {
	ctx, stop := context.WithTimeout(ctx, a.projected.patience)
	defer stop()
	seq, err := a.journal.Last(ctx)
	if err != nil {
		return 0
	}
	a.projected.wait(ctx, seq)
	return a.projected.behind(clock(), seq)
}

// BehindHeader of an answer says that the history lacks what was decided in the last seconds, and in how many.
const BehindHeader = "Alertd-History-Behind"

// readsHistory reports whether what is at a path is answered from the history.
func readsHistory(path string) bool {
	for _, p := range []string{"/api/v1/history", "/api/v1/notifications", "/api/v1/why", "/alerts/", "/runbooks/"} {
		if strings.HasPrefix(path, p) {
			return true
		}
	}
	return path == "/"
}

// projection is how far the history is. It is safe for concurrent use.
type projection struct {
	hurry    chan struct{} // somebody waits; there is room for one
	patience time.Duration // of who waits

	mu    sync.Mutex
	seq   uint64        // the last commit that is in it
	since time.Time     // from when the oldest commit is that is being written; zero: none is
	moved chan struct{} // closed at the next one
}

func newProjection() *projection {
	return &projection{hurry: make(chan struct{}, 1), patience: historyPace, moved: make(chan struct{})}
}

// begin notes from when the oldest commit is that is being written.
func (p *projection) begin(oldest time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since = oldest
}

// reached notes that the history has everything up to a commit.
func (p *projection) reached(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seq, p.since = seq, time.Time{}
	close(p.moved)
	p.moved = make(chan struct{})
}

// behind is of how long ago the oldest decision is that the history lacks; 0: it has everything up to a commit. What is not being
// written has just been decided.
func (p *projection) behind(now time.Time, seq uint64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.seq >= seq:
		return 0
	case p.since.IsZero():
		return 1
	default:
		return max(now.Sub(p.since), 1)
	}
}

// wait returns when the history has everything up to a commit, or when ctx ends.
func (p *projection) wait(ctx context.Context, seq uint64) {
	for {
		p.mu.Lock()
		there, moved := p.seq >= seq, p.moved
		p.mu.Unlock()
		if there {
			return
		}
		select {
		case p.hurry <- struct{}{}:
		default: // another one waits
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// gather waits for more of the journal, if the newest that the history has is of now and nobody asks for what follows. It is not
// for a history that has to catch up.
func (p *projection) gather(ctx context.Context, newest time.Time) {
	age := clock().Sub(newest)
	if age < 0 || age >= historyPace {
		return
	}
	t := time.NewTimer(historyPace - age)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.hurry:
	case <-ctx.Done():
	}
}
