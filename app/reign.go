package app

import (
	"context"
	"fmt"
	"time"

	"alertd"
	"alertd/journal"
	"alertd/rules"
)

// reign folds the journal and runs the loop until it ends.
func (a *App) reign(ctx context.Context, lease *journal.Lease) (*leader, error) {
	p := a.current.Load()
	l := &leader{
		App: a, journal: a.journal, outbox: a.outbox, epoch: lease.Epoch(), answers: a.answers,
		arrivals: make(chan []arrival, 4), services: services{}, traces: newTurnTrace(a.spans), narrator: narrator{App: a},
	}
	if err := l.fold(ctx); err != nil {
		return l, err
	}
	if err := l.meet(ctx); err != nil {
		return l, err
	}
	now := clock()
	l.lastEvent, l.arrivedAt, l.selfDue, l.committedAt = now, now, now, now
	l.evaluator = rules.NewEvaluator(p.rules, rules.Options{ExternalURL: a.external, Now: time.Now}, now)
	l.overload.note(l.evaluator.Settle())
	// The first commit of an epoch fences whoever led before.
	l.entries = append(l.behindJournal(now), l.machine.Step(now, engineInput(p))...)
	if err := l.remember(ctx, alertd.Commit{Time: now, Checkpoint: l.checkpoint, Events: l.eventsMade, Entries: l.entries}); err != nil {
		return l, err
	}
	l.entries = nil
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer l.aside.Wait()
	defer cancel(nil)
	l.aside.Go(func() {
		if err := l.listen(run); err != nil && run.Err() == nil {
			cancel(fmt.Errorf("events: %w", err))
		}
	})
	l.aside.Go(func() { // one node polls, else every report would come twice
		if err := a.poller.Run(run); err != nil && run.Err() == nil {
			cancel(fmt.Errorf("healthpoll: %w", err))
		}
	})
	if a.traces != nil {
		upTo, alerts := l.seq, l.machine.Alerts(now)
		l.aside.Go(func() { a.illustrateMissed(run, upTo, alerts) })
	}
	l.aside.Go(func() {
		select {
		case <-lease.Lost():
			cancel(errLeaseLost)
		case <-run.Done():
		}
	})
	answered, err := a.nodes.Lead(run, a.http)
	if err != nil {
		return l, err
	}
	defer func() {
		cancel(nil) // also where the journal was refused and the lease is ours still
		<-answered
	}()
	a.leading.begin()
	l.led = true
	defer a.leading.end() // before all else: nobody takes what is asked any more
	a.leadState.ok()
	a.sayReady("leader")
	a.log.Info("leading", "epoch", l.epoch)
	return l, l.run(run)
}

// drain lets the senders finish, remembers what they answered, and saves the state.
func (a *App) drain(l *leader) error {
	const grace = 8 * time.Second
	ctx, stop := context.WithTimeout(context.Background(), grace)
	defer stop()
	closed := make(chan error, 1)
	go func() { closed <- a.outbox.Close(ctx) }()
	var answers []alertd.Attempt
	for open := true; open; {
		select {
		case at := <-a.answers:
			answers = append(answers, at)
		case err := <-closed:
			if err != nil {
				a.log.Warn("senders did not finish, what they had is sent again at the next start", "error", err)
			}
			open = false
		}
	}
	for len(a.answers) > 0 {
		answers = append(answers, <-a.answers)
	}
	if l == nil || l.machine == nil || l.evaluator == nil {
		return nil
	}
	return l.last(ctx, answers)
}
