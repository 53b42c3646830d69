package app

import (
	"context"
	"time"

	"alertd"
	"alertd/engine"
	"alertd/rules"
)

const (
	// turnTime bounds how long one turn decides about verdicts and posted alerts, and as long again about what is due: a turn
	// speaks only at its end. What it does not come to is the next turn's, which hears first what has happened since.
	turnTime = 10 * time.Millisecond
	// enoughEntries make a commit before the turn ends, so that few take more than one message of the journal.
	enoughEntries = 200
	// maxPosted bounds the posted alerts that are decided about in one step.
	maxPosted = 50
)

// post is alerts that somebody has posted. It is answered when all of them are in the journal.
type post struct {
	ctx  context.Context // of who waits
	done chan error
	engine.AlertsPosted
}

// turn decides, remembers, and only then speaks.
func (l *leader) turn(ctx context.Context, inputs []engine.Input) (err error) {
	l.traces.begin()
	defer func() { l.traces.end(err) }()
	now := clock()
	if !now.Before(l.selfDue) {
		l.selfDue = now.Add(rules.SelfEvery)
		l.evaluator.Append(now, 0, rules.Self(now, l.lastEvent))
	}
	if len(l.verdicts) == 0 {
		l.verdicts = l.evaluator.CatchUp(now)
		l.traces.judged(len(l.verdicts))
	}
	for _, in := range inputs {
		if err := l.step(ctx, now, in); err != nil {
			return err
		}
	}
	if err := l.decide(ctx, now); err != nil {
		return err
	}
	if err := l.due(ctx, now); err != nil {
		return err
	}
	all := len(l.verdicts) == 0 // else what an event has made true waits to be decided
	if all {
		l.judged = l.evaluator.Evaluated()
	}
	if err := l.commit(ctx, now); err != nil {
		return err
	}
	if all && l.unsaved >= max(snapshotEvery, float64(l.machine.Len())/snapshotAlerts) {
		l.saveAside(ctx)
	}
	l.narrator.end(l.traces.context(ctx))
	l.speak(now)
	return nil
}

// decide follows the verdicts and takes the posted alerts that wait, for as long as a turn may take. The groups are evaluated
// whole when no verdict of an earlier instant waits.
func (l *leader) decide(ctx context.Context, now time.Time) error {
	until := clock().Add(turnTime)
	for first := true; len(l.verdicts) > 0 && (first || clock().Before(until)); first = false {
		v := l.verdicts[0]
		l.verdicts[0] = alertd.Verdict{}
		l.verdicts = l.verdicts[1:]
		decided, err := l.follow(ctx, now, v)
		if err != nil {
			return err
		}
		if decided {
			l.evaluator.Append(now, 0, l.series.Of(l.machine, v.Rule.ID, v.Scope, v.At))
		}
	}
	if len(l.verdicts) == 0 {
		if err := l.tick(ctx, now); err != nil {
			return err
		}
	}
	for first := true; len(l.posts) > 0 && (first || clock().Before(until)); first = false {
		if err := l.post(ctx, now); err != nil {
			return err
		}
	}
	return nil
}

// post decides about some of the alerts that were posted first. They are acknowledged with the last of them.
func (l *leader) post(ctx context.Context, now time.Time) error {
	p := &l.posts[0]
	in := engine.AlertsPosted{Alerts: p.Alerts[:min(len(p.Alerts), maxPosted)], ResolveTimeout: p.ResolveTimeout}
	l.traces.asked(p.ctx)
	if p.Alerts = p.Alerts[len(in.Alerts):]; len(p.Alerts) == 0 {
		l.obeyed = append(l.obeyed, p.done)
		l.posts[0] = post{}
		l.posts = l.posts[1:]
	}
	return l.step(ctx, now, in)
}

// due lets time pass: what expires expires, and groups whose time has come speak, for as long as a turn may take.
func (l *leader) due(ctx context.Context, now time.Time) error {
	until := clock().Add(turnTime)
	for first := true; first || clock().Before(until); first = false {
		if due, ok := l.machine.Next(); !ok || due.After(now) {
			return nil
		}
		if err := l.step(ctx, now, nil); err != nil {
			return err
		}
	}
	return nil
}

// tick evaluates the groups whose slot has come, once everything that was in the stream at the start is read. One rule is
// followed before the next one is evaluated, which may ask what fires.
func (l *leader) tick(ctx context.Context, now time.Time) (err error) {
	if l.behind(now) {
		return nil
	}
	l.evaluator.Tick(now, func(v alertd.Verdict) []alertd.Sample {
		l.traces.judged(1)
		if err == nil {
			_, err = l.follow(ctx, now, v)
		}
		if err != nil || v.Err != "" {
			return nil
		}
		return l.series.Of(l.machine, v.Rule.ID, v.Scope, v.At)
	})
	return err
}

// follow decides what a verdict means, and says whether that was anything.
func (l *leader) follow(ctx context.Context, now time.Time, v alertd.Verdict) (decided bool, err error) {
	if v.Err != "" {
		l.evaluationFailed(v)
	}
	if l.current.Load().aboutHealth[v.Rule.ID] {
		l.services.explain(&v)
	}
	before := l.decided
	err = l.step(ctx, now, engine.Judged{Verdict: v})
	return l.decided != before, err
}

// behind reports whether the stream's backlog is not read yet. Should its end be gone, by a purge, silence ends it.
func (l *leader) behind(now time.Time) bool {
	const silence = 30 * time.Second
	return l.read < l.backlog && now.Sub(l.arrivedAt) < silence
}

// step decides about one input, and commits what was decided up to it where that is much.
func (l *leader) step(ctx context.Context, now time.Time, in engine.Input) error {
	began := l.traces.clock()
	decided := l.machine.Step(now, in)
	l.traces.decided(in, began, decided)
	l.entries = append(l.entries, decided...)
	l.decided += len(decided)
	if len(l.entries) < enoughEntries {
		return nil
	}
	return l.commit(ctx, now)
}
