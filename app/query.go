package app

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"alertd"
	"alertd/api"
	"alertd/rules"
)

// maxCopied is how many samples one query may copy out of the window. Most are compressed and shared, not copied.
const maxCopied = 20_000_000

// series lets queries read the window. The loop copies what a selector wants, between two turns, and the query is
// evaluated over the copies, elsewhere: nothing that anybody asks delays a page by more than the copying.
type series struct{ *App }

// Querier implements storage.Queryable. Times are in milliseconds.
func (s series) Querier(from, to int64) (storage.Querier, error) {
	q := &querier{app: s.App, from: from, to: to}
	q.left.Store(maxCopied)
	return q, nil
}

// Metrics implements api.Series.
func (s series) Metrics(ctx context.Context) (all []alertd.Metadata, err error) {
	err = s.read(ctx, func(l *leader) { all = l.evaluator.Metrics() })
	return all, err
}

// Lookback implements api.Series.
func (s series) Lookback(ctx context.Context) (d time.Duration, err error) {
	err = s.read(ctx, func(l *leader) { d = l.evaluator.Lookback() })
	return d, err
}

// Exemplars implements api.Series.
func (s series) Exemplars(ctx context.Context, sets [][]*labels.Matcher, from, to int64) (out []rules.SeriesExemplars, err error) {
	err = s.read(ctx, func(l *leader) { out = l.evaluator.Exemplars(sets, from, to) })
	return out, err
}

// read is ask, with an error that clients of the API may see.
func (a *App) read(ctx context.Context, f func(*leader)) error {
	err := a.ask(ctx, f)
	if errors.Is(err, errStandby) {
		return &api.Error{Status: http.StatusServiceUnavailable, Kind: "unavailable", Text: "this node stands by; ask the one that leads"}
	}
	return err
}

// querier reads for one query. The engine may select several times.
type querier struct {
	app      *App
	from, to int64
	left     atomic.Int64 // samples that may still be copied
}

// Select implements storage.Querier. The series are in the order of their labels.
func (q *querier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	from, to := q.from, q.to
	if hints != nil {
		from, to = hints.Start, hints.End
	}
	if hints != nil && hints.Func == "series" { // the labels are all that is asked for
		all, err := q.labelSets(ctx, ms)
		if err != nil {
			return storage.ErrSeriesSet(err)
		}
		slices.SortFunc(all, labels.Compare)
		return &seriesSet{n: len(all), get: func(i int) storage.Series { return labelled{labels: all[i]} }}
	}
	var list []storage.Series
	var failed error
	err := q.app.read(ctx, func(l *leader) {
		var n int
		list, n, failed = l.evaluator.Select(ms, from, to, int(q.left.Load()))
		q.left.Add(-int64(n))
	})
	if err = errors.Join(err, failed); err != nil {
		return storage.ErrSeriesSet(err)
	}
	return &seriesSet{n: len(list), get: func(i int) storage.Series { return list[i] }}
}

func (q *querier) labelSets(ctx context.Context, ms []*labels.Matcher) (all []labels.Labels, err error) {
	err = q.app.read(ctx, func(l *leader) { all = l.evaluator.LabelSets(ms, q.from, q.to) })
	return all, err
}

// LabelValues implements storage.LabelQuerier.
func (q *querier) LabelValues(ctx context.Context, name string, _ *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.words(ctx, ms, func(ls labels.Labels, add func(string)) {
		if v := ls.Get(name); v != "" {
			add(v)
		}
	})
}

// LabelNames implements storage.LabelQuerier.
func (q *querier) LabelNames(ctx context.Context, _ *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.words(ctx, ms, func(ls labels.Labels, add func(string)) {
		ls.Range(func(l labels.Label) { add(l.Name) })
	})
}

// words collects what of says of every series, each word once, sorted.
func (q *querier) words(ctx context.Context, ms []*labels.Matcher, of func(labels.Labels, func(string))) ([]string, annotations.Annotations, error) {
	all, err := q.labelSets(ctx, ms)
	if err != nil {
		return nil, nil, err
	}
	var out []string
	seen := make(map[string]bool)
	for _, ls := range all {
		of(ls, func(word string) {
			if !seen[word] {
				seen[word] = true
				out = append(out, word)
			}
		})
	}
	slices.Sort(out)
	return out, nil, nil
}

// Close implements storage.LabelQuerier.
func (q *querier) Close() error { return nil }

// labelled is a series of which only the labels are known.
type labelled struct {
	storage.Series
	labels labels.Labels
}

func (l labelled) Labels() labels.Labels { return l.labels }

// seriesSet walks over copies.
type seriesSet struct {
	n, at int
	get   func(int) storage.Series
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at <= s.n }
func (s *seriesSet) At() storage.Series                { return s.get(s.at - 1) }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// ruleStatus says how every group and rule is.
func (a *App) ruleStatus(ctx context.Context) (out []rules.GroupStatus, err error) {
	err = a.read(ctx, func(l *leader) { out = l.evaluator.Status() })
	return out, err
}
