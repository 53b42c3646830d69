package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"alertd"
	"alertd/engine"
	"alertd/ingest"
	"alertd/journal"
	"alertd/notifier"
	"alertd/rules"
)

const (
	// checkpointEvery is how often the checkpoint is remembered when nothing is decided. After a crash, as much is
	// read and evaluated again, which changes nothing.
	checkpointEvery = 5 * time.Second
	// settle is how often dirty keys are looked at while a backlog is read.
	settle = 100 * time.Millisecond
	// maxTurn bounds the messages that one turn takes, so that a backlog does not delay pages.
	maxTurn = 2_000
)

// leader is the process while it leads: it decides and delivers. One goroutine, that of run, owns it.
type leader struct {
	*App
	machine   *engine.Machine
	evaluator *rules.Evaluator
	journal   *journal.NATS
	outbox    *notifier.Outbox
	epoch     uint64
	led       bool // it has begun to

	arrivals chan []arrival
	answers  chan alertd.Attempt
	obeyed   []chan error // commands of this turn, to be acknowledged

	// What is taken and not decided yet, the oldest first.
	posts    []post
	verdicts []alertd.Verdict

	// Where the reader of events starts; these do not change afterwards.
	met        uint64    // the checkpoint
	eventsMade time.Time // when the stream was made
	backlog    uint64    // the newest event that was there; 0: nothing that need be read before ticks
	from       ingest.Start

	read        uint64 // up to which event the stream is read
	arrivedAt   time.Time
	judged      uint64 // up to which event everything is judged, and decided about
	checkpoint  uint64 // the same, as the journal knows it
	entries     []alertd.Entry
	decided     int           // entries, ever
	unsaved     float64       // commits since the last snapshot, see snapshotEvery
	saving      chan struct{} // closed when the last snapshot is written; nil: none was begun
	committedAt time.Time
	written     time.Time // the newest commit, by the clock of who wrote it
	turnedAt    time.Time // the last turn
	selfDue     time.Time
	outgoingDue time.Time
	lastEvent   time.Time // when the newest event arrived, or when we began to listen
	seq         uint64    // of the newest commit
	services    services
	series      engine.Series // of alerts, for whoever reads them
	traces      *turnTrace
	narrator    narrator

	aside sync.WaitGroup // what runs beside the loop while it leads
}

// arrival is one message, decoded.
type arrival struct {
	seq    uint64
	at     time.Time // when the stream received it
	health bool      // it came on a health subject
	events alertd.Events
}

// fold rebuilds the state from the newest snapshot and the journal after it.
func (l *leader) fold(ctx context.Context) error {
	started := time.Now()
	l.machine = engine.New()
	from, state, err := l.journal.LoadSnapshot(ctx)
	if err == nil && from > 0 {
		var s saved
		if err = json.Unmarshal(state, &s); err == nil {
			var m *engine.Machine
			if m, err = engine.Restore(s.Engine); err == nil {
				l.machine, l.checkpoint, l.eventsMade, l.seq = m, s.Checkpoint, s.Events, from
				l.written = s.Written
				l.traces.restore(s.Decided)
			}
		}
	}
	if err != nil {
		l.log.Warn("snapshot not used, folding the whole journal", "error", err)
		l.checkpoint, l.eventsMade, l.written, l.seq = 0, time.Time{}, time.Time{}, 0
	}
	commits := 0
	err = l.journal.Replay(ctx, l.seq+1, func(seq uint64, c alertd.Commit) error {
		for _, e := range c.Entries {
			l.machine.Apply(e)
		}
		l.seq, l.checkpoint, l.written = seq, c.Checkpoint, c.Time
		if !c.Events.IsZero() {
			l.eventsMade = c.Events
		}
		commits++
		return nil
	})
	if err != nil {
		return fmt.Errorf("fold the journal: %w", err)
	}
	l.machine.Resume()
	l.log.Info("state folded", "snapshot", from, "commits", commits, "checkpoint", l.checkpoint,
		"alerts", l.machine.Len(), "took", time.Since(started).Round(time.Millisecond))
	return nil
}

// run is the loop. It returns journal.ErrFenced (wrapped) if another node leads, or the cause of ctx's end.
func (l *leader) run(ctx context.Context) (err error) {
	defer func() {
		for _, p := range l.posts {
			p.done <- err
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := l.goesOn(clock()); err != nil {
			return err
		}
		var inputs []engine.Input
		reloads := l.reloads
		if len(l.verdicts) > 0 {
			reloads = nil // they are of the rules of now
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case a := <-l.arrivals:
			inputs = l.take(a, inputs)
		case a := <-l.answers:
			inputs = append(inputs, engine.Answered{Attempt: a})
		case p := <-reloads:
			inputs = append(inputs, l.adopt(p))
		case c := <-l.commands:
			inputs = l.obey(c, inputs)
		case q := <-l.queries:
			q(l)
			continue
		case <-timer.C:
			if err := l.goesOn(clock()); err != nil { // now, before anything is taken
				return err
			}
		}
		inputs = l.waiting(inputs)
		err = l.turn(ctx, inputs)
		l.acknowledge(err)
		if err != nil {
			return err
		}
		timer.Reset(l.next().Sub(clock()))
	}
}

// command is something that somebody wants done and waits for.
type command struct {
	ctx  context.Context                     // of who waits
	plan func(*leader) (engine.Input, error) // reads the state, changes nothing
	done chan error                          // one answer; there is room for it
}

// obey makes an input of a command, or refuses it.
func (l *leader) obey(c command, inputs []engine.Input) []engine.Input {
	in, err := c.plan(l)
	if err != nil || in == nil {
		c.done <- err
		return inputs
	}
	if p, ok := in.(engine.AlertsPosted); ok {
		l.posts = append(l.posts, post{c.ctx, c.done, p})
		return inputs
	}
	l.obeyed = append(l.obeyed, c.done)
	l.traces.asked(c.ctx)
	return append(inputs, in)
}

// acknowledge answers the commands of a turn: what they asked for is in the journal now, or it is not.
func (l *leader) acknowledge(err error) {
	for _, done := range l.obeyed {
		done <- err
	}
	l.obeyed = l.obeyed[:0]
}

// waiting takes what else is there already: answers first, since a page may follow from them.
func (l *leader) waiting(inputs []engine.Input) []engine.Input {
	for range maxTurn {
		select {
		case a := <-l.answers:
			inputs = append(inputs, engine.Answered{Attempt: a})
			continue
		case c := <-l.commands:
			inputs = l.obey(c, inputs)
			continue
		default:
		}
		break
	}
	select {
	case a := <-l.arrivals:
		inputs = l.take(a, inputs)
	default:
	}
	return inputs
}

// take gives messages to the rules. What they decide at once, about occurrences, is an input already.
func (l *leader) take(batch []arrival, inputs []engine.Input) []engine.Input {
	now := clock()
	l.read, l.arrivedAt = batch[len(batch)-1].seq, now
	for _, a := range batch {
		l.evaluator.Describe(a.events.Metadata)
		if a.seq <= l.checkpoint && a.seq != 0 { // decided before: it only fills the window
			l.evaluator.Warm(a.events.Samples)
			continue
		}
		l.lastEvent = now
		l.metrics.events.Inc()
		l.metrics.samples.Add(float64(len(a.events.Samples)))
		if a.health {
			l.services.note(a.events.Samples)
		}
		if len(a.events.Samples) > 0 || len(a.events.Occurrences) == 0 {
			l.evaluator.Append(now, a.seq, a.events.Samples)
		}
		if len(a.events.Occurrences) > 0 {
			for _, v := range l.evaluator.Observe(now, a.seq, a.events.Occurrences) {
				inputs = append(inputs, engine.Judged{Verdict: v})
			}
		}
	}
	l.evaluator.Behind(l.lag(now, batch[len(batch)-1].at))
	l.overload.note(l.evaluator.Settle())
	return inputs
}

// lag is how long the oldest event that waits to be read has been in the stream, about: as long as the newest one
// that is read, if more are waiting. A backlog that was there at the start is not a load that is too high: it is
// judged as if it had come in time.
func (l *leader) lag(now, newest time.Time) time.Duration {
	if len(l.arrivals) == 0 || newest.IsZero() || l.behind(now) {
		return 0
	}
	return max(0, now.Sub(newest))
}

// commit appends what was decided. What a turn reads counts as judged with its last commit only: until then, not all is decided that
// follows from it.
func (l *leader) commit(ctx context.Context, now time.Time) error {
	checkpoint := max(l.checkpoint, l.judged)
	if len(l.entries) == 0 && (checkpoint == l.checkpoint || now.Sub(l.committedAt) < checkpointEvery) {
		return nil
	}
	if err := l.remember(ctx, alertd.Commit{Time: now, Checkpoint: checkpoint, Entries: l.entries}); err != nil {
		return err
	}
	l.checkpoint, l.committedAt = checkpoint, now
	for i := range l.entries {
		l.metrics.count(&l.entries[i])
		l.narrator.entry(l.traces.context(ctx), &l.entries[i])
	}
	if len(l.entries) > 0 {
		l.unsaved += max(1, float64(len(l.entries))/snapshotEntries)
	} else {
		l.unsaved += 0.1
	}
	l.entries = nil
	return nil
}

// remember appends a commit. Nothing may be said before it is remembered, so while the journal cannot be
// written, the loop waits here, and says so in readiness.
func (l *leader) remember(ctx context.Context, c alertd.Commit) (err error) {
	c.Epoch, c.Node = l.epoch, l.node
	ctx, span := l.traces.appending(ctx, &c)
	defer func() { ended(span, err) }()
	var told time.Time
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		started := time.Now()
		seq, err := l.journal.Append(ctx, c)
		if err == nil {
			if !told.IsZero() {
				l.log.InfoContext(ctx, "journal written again")
			}
			l.seq, l.written = seq, c.Time
			l.metrics.commit.Observe(time.Since(started).Seconds())
			l.journalState.ok()
			return nil
		}
		if errors.Is(err, journal.ErrFenced) || errors.Is(err, journal.ErrTooLarge) ||
			errors.Is(err, journal.ErrInvalid) || errors.Is(err, journal.ErrGone) || errors.Is(err, journal.ErrUnknown) || ctx.Err() != nil {
			return fmt.Errorf("journal: %w", err)
		}
		l.journalState.failed(err)
		if started.Sub(told) > time.Minute {
			told = started
			l.log.ErrorContext(ctx, "journal not written, nothing is sent until it is; trying again all the time", "error", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// speak hands to the senders what is due. The journal knows of it.
func (l *leader) speak(now time.Time) {
	out, next := l.machine.Outgoing(now)
	l.outgoingDue = next
	for _, d := range out {
		l.outbox.Offer(notifier.Job{Notification: d.Notification, N: d.N, Uncertain: d.Uncertain, Trace: l.traces.of(d.Notification.ID)})
	}
}

// next is when the loop wants to turn again by itself.
func (l *leader) next() time.Time {
	if len(l.posts)+len(l.verdicts) > 0 {
		return time.Time{} // at once
	}
	due := l.selfDue
	earliest := func(t time.Time, ok bool) {
		if ok && !t.IsZero() && t.Before(due) {
			due = t
		}
	}
	earliest(l.machine.Next())
	if at, ok := l.evaluator.Next(); l.behind(clock()) {
		earliest(clock().Add(settle), true)
	} else {
		earliest(at, ok)
	}
	earliest(l.outgoingDue, true)
	if l.judged > l.checkpoint {
		earliest(l.committedAt.Add(checkpointEvery), true)
	}
	return due
}

// adopt makes a new policy the one that decides.
func (l *leader) adopt(p *policy) engine.Input {
	l.evaluator.SetRules(p.rules, clock())
	l.outbox.SetSenders(p.senders)
	return engineInput(p)
}

// evaluationFailed logs a rule that could not be evaluated, at most once a minute for each rule.
func (l *leader) evaluationFailed(v alertd.Verdict) {
	l.metrics.evaluationErrors.WithLabelValues(v.Rule.ID).Inc()
	if l.ruleErrors.note(v.Rule.ID, v.Err) {
		l.log.Warn("rule not evaluated, its alerts stay as they are", "rule", v.Rule.ID, "error", v.Err)
	}
}

// last remembers what the senders answered while the process ended, and saves the state.
func (l *leader) last(ctx context.Context, answers []alertd.Attempt) error {
	now := clock()
	for _, at := range answers {
		l.entries = append(l.entries, l.machine.Step(now, engine.Answered{Attempt: at})...)
	}
	l.committedAt = time.Time{} // the checkpoint goes with it, decided something or not
	if err := l.commit(ctx, now); err != nil {
		return err
	}
	l.save(ctx, l.seq, l.freeze())
	return nil
}

func engineInput(p *policy) engine.Input { return engine.PolicyChanged{Policy: p.engine} }
