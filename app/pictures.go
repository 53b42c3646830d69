package app

import (
	"context"
	"time"

	"alertd"
	"alertd/history"
	"alertd/notifier"
	"alertd/notifier/slack"
)

// picturesFor is how far back pages may lack their picture after a start: as long as a trace is waited for, and a restart.
const picturesFor = 2 * time.Minute

// illustrateMissed looks again for the traces of pages that went out just before this node began to lead: who waited for them
// then is gone. What is remembered of the pages says which; of the alerts, those that are still there. Slack is asked first
// whether the thread has its picture. It waits until the history knows everything up to that commit.
func (a *App) illustrateMissed(ctx context.Context, upTo uint64, alerts []alertd.Alert) {
	since := clock().Add(-picturesFor)
	waiting, stop := context.WithTimeout(ctx, picturesFor)
	a.projected.wait(waiting, upTo) // project says aloud what is wrong with the history
	late := waiting.Err() != nil
	stop()
	if late {
		return
	}
	pages, err := a.history.Notifications(ctx, history.Filter{Since: since, State: string(alertd.Delivered), Limit: maxLooking})
	if err != nil {
		a.log.Warn("pages before the start not read, their traces are not looked for again", "error", err)
		return
	}
	byFingerprint := make(map[alertd.Fingerprint]*alertd.Alert, len(alerts))
	for i := range alerts {
		byFingerprint[alerts[i].Fingerprint] = &alerts[i]
	}
	senders := a.current.Load().senders
	for i := range pages {
		page := &pages[i]
		chat, ok := notifier.As[*slack.Sender](senders[page.Receiver+"/"+page.Integration])
		if !ok || page.Digest || len(page.Attempts) == 0 {
			continue
		}
		last := page.Attempts[len(page.Attempts)-1]
		if last.Ref == "" {
			continue
		}
		for _, told := range page.Alerts { // the most urgent first
			al := byFingerprint[told.Fingerprint]
			if al == nil || al.Trace.IsZero() || al.Trace.Unsampled || !a.toldFirst(ctx, page, told.Fingerprint) {
				continue
			}
			a.traces.offer(traceJob{ref: al.Trace, at: al.At, name: al.Name(), to: chat, post: last.Ref, again: true})
			break
		}
	}
}

// toldFirst reports whether a page was the first to tell an alert.
func (a *App) toldFirst(ctx context.Context, page *history.NotificationRow, fp alertd.Fingerprint) bool {
	decisions, err := a.history.Decisions(ctx, fp, page.Time)
	if err != nil {
		a.log.Warn("history not read, a trace is not looked for again", "error", err)
		return false
	}
	for _, d := range decisions {
		if d.Kind == history.KindTold && d.Group == page.Group && d.Time.Equal(page.Time) {
			return true
		}
	}
	return false
}
