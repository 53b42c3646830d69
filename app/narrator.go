package app

import (
	"context"
	"log/slog"

	"alertd"
)

// maxNarrated bounds the alerts that one turn logs one by one. In a storm nobody reads more: the rest is counted.
const maxNarrated = 20

// narrator logs what the loop decides, as an operator wants to read it. The loop's goroutine owns it.
type narrator struct {
	*App
	told int                  // alerts of this turn
	more map[alertd.State]int // those of them that are only counted
}

// entry says one decision.
func (n *narrator) entry(ctx context.Context, e *alertd.Entry) {
	switch {
	case e.Transition != nil:
		n.transition(ctx, e.Transition)
	case e.Attempted != nil && e.Attempted.DeadLetter:
		n.log.ErrorContext(ctx, "notification given up", "id", e.Attempted.Notification, "to", e.Attempted.Receiver+"/"+e.Attempted.Integration, "attempt", e.Attempted.Attempt)
	case e.Acked != nil:
		msg := "alerts acknowledged"
		if e.Acked.Ended != "" {
			msg = string(e.Acked.Ended)
		}
		n.log.InfoContext(ctx, msg, "alerts", len(e.Acked.Alerts), "ack", e.Acked.Ack)
	case e.Released != nil:
		n.log.InfoContext(ctx, "groups released", "groups", len(e.Released.Groups), "by", e.Released.By, "from", string(e.Released.From), "client", e.Released.Client)
	case e.Silence != nil && e.Silence.Change != nil:
		c := e.Silence.Change
		n.log.InfoContext(ctx, "silence "+string(c.Act), "id", e.Silence.ID, "by", c.By, "from", string(c.From), "client", c.Client, "ends", c.EndsAt)
	}
}

// transition says that an alert has changed. That a rule waits whether something lasts, and that it did not, is for those who look
// for it.
func (n *narrator) transition(ctx context.Context, t *alertd.Transition) {
	al := &t.Alert
	if al.State == alertd.Firing && !t.From.Active() {
		n.traces.offer(traceJob{ref: al.Trace, at: al.At, name: al.Name()})
	}
	level := slog.LevelInfo
	if al.State == alertd.Pending || t.From == alertd.Pending && al.State == alertd.Inactive {
		if level = slog.LevelDebug; !n.log.Enabled(ctx, level) {
			return
		}
	}
	if n.told++; n.told > maxNarrated {
		if n.more == nil {
			n.more = map[alertd.State]int{}
		}
		n.more[al.State]++
		return
	}
	n.log.Log(ctx, level, "alert "+string(al.State), "alert", al, "from", t.From, "reason", string(t.Reason))
}

// end says how many alerts of the turn were not named.
func (n *narrator) end(ctx context.Context) {
	if n.more != nil {
		more := make([]slog.Attr, 0, len(n.more))
		for _, s := range []alertd.State{alertd.Pending, alertd.Firing, alertd.Recovering, alertd.NoData, alertd.Failing, alertd.Resolved, alertd.Inactive} {
			if n.more[s] > 0 {
				more = append(more, slog.Int(string(s), n.more[s]))
			}
		}
		n.log.LogAttrs(ctx, slog.LevelInfo, "more alerts changed at once", more...)
	}
	n.told, n.more = 0, nil
}
