package app

import (
	"context"
	"errors"

	"alertd"
	"alertd/engine"
)

// Ack lets somebody take alerts, or gives them back, and returns which. When it returns nil, that is in the journal.
func (a *App) Ack(ctx context.Context, req alertd.AckRequest) (taken []alertd.Fingerprint, err error) {
	err = a.do(ctx, func(l *leader) (engine.Input, error) {
		in, err := l.machine.PlanAck(clock(), req)
		if err != nil {
			return nil, err
		}
		taken = in.Acked.Alerts
		return in, nil
	})
	return taken, err
}

// Release lets go what is held, and returns what that is. When it returns nil, that is in the journal.
func (a *App) Release(ctx context.Context, req alertd.ReleaseRequest) (out alertd.LetGo, err error) {
	err = a.do(ctx, func(l *leader) (engine.Input, error) {
		in, err := l.machine.PlanRelease(req)
		if err != nil {
			return nil, err
		}
		out = alertd.LetGo{Groups: in.Released.Groups, Alerts: in.Alerts}
		return in, nil
	})
	return out, err
}

// Selected returns the alerts that fire and that a selection names; the error is alertd.ErrNotFound if there are none.
func (a *App) Selected(ctx context.Context, s alertd.Selection) (out []alertd.Alert, err error) {
	asked := a.ask(ctx, func(l *leader) { out, err = l.machine.Selected(s) })
	return out, errors.Join(asked, err)
}
