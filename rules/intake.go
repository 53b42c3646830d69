package rules

import (
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// Warm puts samples into the window as if they had been there before: nothing is evaluated because of them. Messages come
// in the order of the stream.
func (e *Evaluator) Warm(samples []alertd.Sample) {
	for i := range samples {
		if s := e.seriesOf(&samples[i]); s != nil {
			e.store(s, &samples[i], true)
		} else if samples[i].ValidFor == alertd.Withdrawn {
			e.retire(&samples[i])
		}
	}
}

// Append takes in the samples of one message, all of them before any is evaluated. Run evaluates what they touch.
// seq is the message's sequence in the EVENTS stream, 0 for samples that the daemon makes itself.
//
// Of two samples of a series for the same millisecond the one that is later in the stream counts. A message with a sequence
// that is not higher than all before it is delivered again: it adds what is not there and replaces nothing. Neither do the
// daemon's own samples.
func (e *Evaluator) Append(now time.Time, seq uint64, samples []alertd.Sample) {
	e.clock(now)
	e.heard(seq)
	later := seq > e.highest
	e.highest = max(e.highest, seq)
	for batch := range slices.Chunk(samples, batchSamples) {
		e.take(batch, now.UnixNano(), seq, later)
	}
}

// take takes in some of the samples of a message, which is later in the stream than all before it, or is not.
func (e *Evaluator) take(samples []alertd.Sample, now int64, seq uint64, later bool) {
	e.batch = e.batch[:0]
	for i := range samples {
		e.batch = append(e.batch, e.seriesOf(&samples[i]))
	}
	e.window.fetchSeries(e.batch)
	for i, s := range e.batch {
		switch {
		case s != nil && e.store(s, &samples[i], later):
			for _, t := range s.touches {
				e.mark(t, samples[i].T, now, seq)
			}
		case s == nil && samples[i].ValidFor == alertd.Withdrawn:
			for _, s := range e.retire(&samples[i]) {
				for _, t := range s.touches {
					e.mark(t, s.newest, now, seq)
				}
			}
		}
	}
}

// store puts a sample into its series; if it is later in the stream, also in the place of one for the same instant. It
// reports false if the sample is refused. A duplicate is not refused: that a sample is in the window does not mean that
// it was evaluated.
func (e *Evaluator) store(s *series, sample *alertd.Sample, later bool) bool {
	e.taken++
	if valid := sample.ValidFor.Milliseconds(); valid != s.validFor && sample.T >= s.newest {
		s.validFor = valid
		e.longest = max(e.longest, valid)
		for _, x := range s.indexes {
			for _, u := range x.users {
				u.rule.reads(s)
			}
		}
	}
	s.seen = e.now
	switch s.append(sample.T, sample.V, sample.H, min(s.newest, e.now)-s.keep) {
	case tooOld:
		e.counts.TooOld++
		return false
	case duplicate:
		if !later || !s.replace(sample.T, sample.V, sample.H) {
			e.counts.Duplicates++
			return true
		}
	}
	if !sample.Trace.IsZero() {
		s.remember(exemplar{sample.T, sample.V, sample.Trace})
	}
	for _, t := range s.touches {
		t.key.heard(t.slot, sample.T)
	}
	return true
}

// seriesOf finds, or makes, the series of a sample; nil if nobody reads it, if its time is not to be believed, or if it ends
// series. A
// publisher says the same things in the same order every time, so the first guess is the series that came after this
// one's predecessor the last time. With many series that saves what finding one costs most: waiting for the memory of a
// large map.
func (e *Evaluator) seriesOf(sample *alertd.Sample) *series {
	if sample.ValidFor == alertd.Withdrawn {
		return nil
	}
	if sample.T > e.now+maxAhead.Milliseconds() {
		e.counts.TooNew++
		return nil
	}
	before := e.last
	if before != nil && before.follower != nil && labels.Equal(before.follower.labels, sample.Labels) && !before.follower.dead {
		e.last = before.follower
		return e.last
	}
	hash := sample.Labels.Hash()
	s := e.window.find(sample.Labels, hash)
	if s == nil {
		found := e.window.matching(sample.Labels)
		e.names.note(sample.Labels.Get(alertd.LabelMetric))
		if len(found) == 0 {
			e.counts.Unread++
			return nil
		}
		s = newSeries(sample.Labels, hash)
		s.indexes = found
		s.keep, s.pins = e.keep(s), e.pins(s)
		e.window.add(s)
	}
	if before != nil {
		before.follower = s
	}
	e.last = s
	return s
}
