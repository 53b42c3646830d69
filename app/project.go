package app

import (
	"context"
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
			err = a.journal.Follow(ctx, seq+1, func(rs []journal.Record) error {
				if err := a.record(ctx, rs); err != nil {
					return err
				}
				a.historyState.ok()
				wait = time.Second
				gather(ctx, rs[len(rs)-1].Commit.Time)
				return nil
			})
		}
		if ctx.Err() != nil {
			return nil
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

// gather waits for more of the journal, if the newest that the history has is of now. It is not for one that has to catch up.
func gather(ctx context.Context, newest time.Time) {
	age := clock().Sub(newest)
	if age < 0 || age >= historyPace {
		return
	}
	t := time.NewTimer(historyPace - age)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
