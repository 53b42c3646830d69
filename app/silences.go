package app

import (
	"context"
	"fmt"
	"time"

	"alertd"
	"alertd/engine"
)

// looksBack is how far the preview of a silence looks into the past, previewPages how many notifications it lists.
const (
	looksBack    = 7 * 24 * time.Hour
	previewPages = 20
)

// MakeSilence makes a silence for a person, or changes one. Unless it is forced, one that hides more than a single
// problem is likely to be is an [alertd.ErrInvalid] that says why.
func (a *App) MakeSilence(ctx context.Context, s alertd.Silence, by alertd.Actor, force bool) (id string, err error) {
	return a.setSilence(ctx, s, by, func(l *leader) error {
		p, err := l.machine.PreviewSilence(s)
		if err != nil || p.Broad == "" || force {
			return err
		}
		return fmt.Errorf("%w: the silence is too broad: %s; narrow it, or force it if that is meant", alertd.ErrInvalid, p.Broad)
	})
}

// SetSilence makes a silence as an Alertmanager does, or changes one, and returns the ID that it is known by from then on.
func (a *App) SetSilence(ctx context.Context, s alertd.Silence, by alertd.Actor) (id string, err error) {
	return a.setSilence(ctx, s, by, func(*leader) error { return nil })
}

func (a *App) setSilence(ctx context.Context, s alertd.Silence, by alertd.Actor, guard func(*leader) error) (id string, err error) {
	err = a.do(ctx, func(l *leader) (engine.Input, error) {
		if err := guard(l); err != nil {
			return nil, err
		}
		in, known, err := l.machine.PlanSilence(clock(), s, newUUID(), by)
		if err != nil {
			return nil, err
		}
		id = known
		return in, nil
	})
	return id, err
}

// PreviewSilence says what a silence would hide now, and what it would have hidden in the last seven days.
func (a *App) PreviewSilence(ctx context.Context, s alertd.Silence) (alertd.SilencePreview, error) {
	var p engine.Preview
	var invalid error
	if err := a.ask(ctx, func(l *leader) { p, invalid = l.machine.PreviewSilence(s) }); err != nil {
		return alertd.SilencePreview{}, err
	}
	if invalid != nil {
		return alertd.SilencePreview{}, invalid
	}
	out := alertd.SilencePreview{
		Hides: p.Hides, Firing: p.Firing, Broad: p.Broad, Since: clock().Add(-looksBack), Pages: []alertd.HiddenPage{},
	}
	past, err := a.history.Hidden(ctx, out.Since, previewPages, p.Matches)
	if err != nil {
		return out, err
	}
	out.Pages = append(out.Pages, past.Pages...)
	out.Paged, out.Thin, out.Alerts = past.Whole, past.Thin, past.Alerts
	return out, nil
}
