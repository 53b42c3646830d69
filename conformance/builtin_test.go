package conformance

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"

	"alertd"
	"alertd/rules"
)

// windowStorage is alertd's window as Prometheus's tests want a storage.
type windowStorage struct {
	storage.Storage // nil: what is not below is never asked for
	*rules.Window
}

func (s windowStorage) Querier(from, to int64) (storage.Querier, error) {
	return s.Window.Querier(from, to)
}
func (windowStorage) Close() error { return nil }

func (s windowStorage) AppenderV2(context.Context) storage.AppenderV2 { return windowAppender(s) }

type windowAppender windowStorage

func (a windowAppender) Append(_ storage.SeriesRef, ls labels.Labels, _, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, _ storage.AppendV2Options) (storage.SeriesRef, error) {
	if h != nil {
		fh = h.ToFloat(nil)
	}
	err := a.Window.Append(alertd.Sample{Labels: ls.WithoutEmpty(), T: t, V: v, H: fh})
	if errors.Is(err, rules.ErrDuplicate) {
		return 0, storage.ErrDuplicateSampleForTimestamp
	}
	return 1, err
}

func (windowAppender) Commit() error   { return nil }
func (windowAppender) Rollback() error { return errors.New("the window takes nothing back") }

// skipping runs subtests but those that ask for what the window rightly does not have.
type skipping struct {
	*testing.T
	reasons map[string]string
}

func (s skipping) Run(name string, f func(*testing.T)) bool {
	return s.T.Run(name, func(t *testing.T) {
		if reason, ok := s.reasons[name]; ok {
			t.Skip(reason)
		}
		f(t)
	})
}

// TestBuiltin: Prometheus's own acceptance tests of PromQL pass on alertd's window.
func TestBuiltin(t *testing.T) {
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	promqltest.RunBuiltinTestsWithStorage(skipping{t, map[string]string{
		"testdata/start_timestamps.test": "a sample has no start timestamp: Prometheus reads them only behind a feature flag, and no wire format of alertd keeps them",
	}}, engine, func(testing.TB) storage.Storage {
		return windowStorage{Window: rules.NewWindow()}
	})
}
