package rules

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql"

	"alertd"
)

// runKey evaluates a dirty key. It reports false if there is nothing new to tell.
func (e *Evaluator) runKey(k *key, nanos int64) (alertd.Verdict, bool) {
	r := k.rule
	at := e.instant(k)
	e.unlink(k)
	k.dirty, k.queue, k.ran = false, nowhere, nanos
	if r.partition.IsWhole() {
		e.counts.Whole++
	} else {
		e.counts.Keyed++
	}
	found, back, err := e.ask(r, k, at)
	if err == nil && (len(found) > 0 || k.quiet != r.epoch) {
		err = e.within(r, at)
	}
	if err != nil {
		e.counts.Errors++
		r.last.err = err.Error()
		k.quiet = 0
		r.fails(k)
		// What was found before is not known to hold at this instant, so k.at stays.
		return alertd.Verdict{
			Rule: r.meta, Scope: k.scope, At: time.UnixMilli(at).UTC(), Err: r.last.err, Unknown: e.failed(r, k, at),
		}, true
	}
	delete(r.failing, k)
	k.tell(found, back, at)
	r.latest = max(r.latest, at)
	switch {
	case len(found) > 0:
		k.quiet = 0
	case k.quiet == r.epoch && r.meta.KeepFiringFor == 0 && !r.meta.Recovers:
		return alertd.Verdict{}, false
	default:
		k.quiet = r.epoch
	}
	return alertd.Verdict{
		Rule: r.meta, Scope: k.scope, At: time.UnixMilli(at).UTC(), True: found, Recovered: labelsOf(back), Witness: r,
	}, true
}

// ask evaluates a rule and its recovery condition, if it has one, for a key at an instant.
func (e *Evaluator) ask(r *ruleRun, k *key, at int64) (found []alertd.Finding, back []recovery, err error) {
	if found, err = e.evaluate(r, k, at, at); err == nil && r.recover != nil {
		back, err = e.recovered(r, k, at)
	}
	return found, back, err
}

// instant is what a dirty key is evaluated at: its newest sample, but not before what it was evaluated at already,
// by itself or by a tick that would have seen the sample. A producer whose clock ran ahead for a moment must not
// hold its key in the future, hence own evaluations count only up to now; and a rule that is evaluated whole reads
// many producers, so that none of them may take it there at all.
func (e *Evaluator) instant(k *key) int64 {
	at := k.newest
	if k.rule.partition.IsWhole() {
		at = min(at, e.now)
	}
	at = max(at, min(k.at, e.now))
	if slot := k.rule.group.slot; slot > at && at > slot-k.rule.shortest {
		at = slot
	}
	return at
}

// evaluate gives the findings of a rule at one instant, of one key or of all. The templates believe it is `told`.
func (e *Evaluator) evaluate(r *ruleRun, k *key, at, told int64) ([]alertd.Finding, error) {
	vector, err := e.query(view{window: e.window, rule: r, key: k}, r.text, at)
	if err != nil {
		return nil, err
	}
	return e.findings(r, k, vector, at, told)
}

// query evaluates the expression of a rule.
func (e *Evaluator) query(v view, text string, at int64) (promql.Vector, error) {
	v.delta = max(e.opts.LookbackDelta.Milliseconds(), e.longest)
	if v.rule != nil {
		v.delta = v.rule.delta
		program := v.rule.program
		if v.rule.recover != nil && text == v.rule.recoverText {
			program = v.rule.recovery
		}
		if program != nil {
			if vector, ok := program.run(v, at); ok {
				e.counts.Cheap++
				return vector, nil
			}
		}
	}
	ctx := context.Background()
	q, err := e.engine.NewInstantQuery(ctx, v, promql.NewPrometheusQueryOpts(false, time.Duration(v.delta)*time.Millisecond), text, time.UnixMilli(at))
	if err != nil {
		return nil, err
	}
	defer q.Close()
	switch result := q.Exec(ctx); value := result.Value.(type) {
	case promql.Vector:
		return value, result.Err
	case promql.Scalar:
		return promql.Vector{{T: value.T, F: value.V}}, result.Err
	default:
		if result.Err != nil {
			return nil, result.Err
		}
		return nil, fmt.Errorf("expression gives neither a vector nor a scalar")
	}
}
