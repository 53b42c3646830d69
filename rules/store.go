package rules

import (
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/storage"

	"alertd"
)

// ErrDuplicate is what [Window.Append] wraps when the series has a sample for that instant already.
var ErrDuplicate = errors.New("the series has a sample for that instant already")

// Window is an [Evaluator]'s store of samples by itself: it keeps everything, in the order of time, whatever the
// order in which it comes. It is for who evaluates expressions of his own, in tests for example. It must not be
// read while it is written.
type Window struct{ window *window }

// NewWindow returns an empty window.
func NewWindow() *Window { return &Window{newWindow()} }

// Append takes in a sample. A second one for the same instant of a series is refused with [ErrDuplicate].
func (w *Window) Append(sample alertd.Sample) error {
	hash := sample.Labels.Hash()
	s := w.window.find(sample.Labels, hash)
	if s == nil {
		s = newSeries(sample.Labels, hash)
		w.window.add(s)
	}
	if s.append(sample.T, sample.V, sample.H, never) == duplicate {
		return fmt.Errorf("%s at %s: %w", sample.Labels, sample.Time(), ErrDuplicate)
	}
	return nil
}

// Querier implements storage.Queryable; the error is always nil.
func (w *Window) Querier(_, _ int64) (storage.Querier, error) { return view{window: w.window}, nil }
