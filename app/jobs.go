package app

import (
	"context"
	"time"

	"github.com/robfig/cron/v3"

	"alertd/notifier"
)

// jobs runs what recurs by the calendar: at night, the history forgets what is older than its retention, and the journal what it
// need not be rebuilt from any more.
func (a *App) jobs(ctx context.Context) error {
	c := cron.New(cron.WithLocation(time.UTC))
	if keep := a.o.Config.History.Retention; keep > 0 {
		_, err := c.AddFunc("17 3 * * *", func() {
			if err := a.history.Prune(ctx, clock().Add(-keep)); err != nil {
				a.log.Error("history is not pruned", "error", err)
			}
			if !a.leading.now() {
				return
			}
			if seq, err := a.journal.Trim(ctx, clock().Add(-keep)); err != nil {
				a.log.Error("journal is not trimmed, it goes on growing", "error", err)
			} else if seq > 0 {
				a.log.Info("journal trimmed", "up_to", seq)
			}
		})
		if err != nil {
			return err
		}
	}
	if _, err := c.AddFunc("41 6 * * *", func() { a.reviewRunbooks(ctx, notifier.NewClient()) }); err != nil {
		return err
	}
	c.Start()
	a.reviewRunbooks(ctx, notifier.NewClient()) // once at the start, so that nobody waits for the morning
	<-ctx.Done()
	<-c.Stop().Done()
	return nil
}
