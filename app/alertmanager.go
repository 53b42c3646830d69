package app

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/amapi"
	"alertd/engine"
	"alertd/notifier"
	"alertd/templates"
)

// do lets the loop follow a command and waits until what follows from it is in the journal. The error is the plan's, or
// says that nothing was remembered.
func (a *App) do(ctx context.Context, plan func(*leader) (engine.Input, error)) error {
	ended := a.leading.ended()
	if ended == nil {
		return errStandby
	}
	c := command{ctx: ctx, plan: plan, done: make(chan error, 1)}
	select {
	case a.commands <- c:
	case <-ended:
		return errStandby
	case <-ctx.Done():
		return fmt.Errorf("the loop does not answer: %w", context.Cause(ctx))
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the loop does not answer: %w", context.Cause(ctx))
	}
}

// Post takes alerts that somebody else has judged, as Prometheus posts them to an Alertmanager. When it returns nil, they
// are remembered.
func (a *App) Post(ctx context.Context, alerts []alertd.Posted) error {
	err := a.do(ctx, func(*leader) (engine.Input, error) {
		return engine.AlertsPosted{Alerts: alerts, ResolveTimeout: a.current.Load().resolveTimeout}, nil
	})
	if err == nil {
		a.metrics.alertmanager.posted(alerts, clock())
	}
	return err
}

// Standing returns the alerts that fire, and what hides them.
func (a *App) Standing(ctx context.Context) (out []alertd.Standing, err error) {
	err = a.ask(ctx, func(l *leader) { out = l.machine.Standing(clock()) })
	return out, err
}

// Groups returns the alerts that fire as the routing groups them, and what the labels of their routes say about them.
func (a *App) Groups(ctx context.Context) (out []alertd.GroupView, err error) {
	err = a.ask(ctx, func(l *leader) { out = l.machine.GroupViews(clock()) })
	set := a.current.Load().templates
	for i := range out {
		out[i].RouteLabels = a.routeLabels(set, &out[i])
	}
	return out, err
}

// routeLabels are without those whose template fails: there is nobody to tell it to here.
func (a *App) routeLabels(set *templates.Set, g *alertd.GroupView) alertd.Labels {
	if g.RouteLabels.IsEmpty() {
		return g.RouteLabels
	}
	n := alertd.Notification{Receiver: g.Receiver, GroupLabels: g.Labels, RouteLabels: g.RouteLabels}
	for i := range g.Alerts {
		n.Alerts = append(n.Alerts, alertd.Notified{Alert: g.Alerts[i].Alert})
	}
	data := notifier.TemplateData(&n, a.external)
	_ = set.ExpandRouteLabels(data)
	return labels.FromMap(data.RouteLabels)
}

// Silences returns all silences, those that are over and still kept included.
func (a *App) Silences(ctx context.Context) (out []alertd.SilenceView, err error) {
	err = a.ask(ctx, func(l *leader) { out = l.machine.Silences(clock()) })
	return out, err
}

// ExpireSilence ends a silence now, and remembers who said so.
func (a *App) ExpireSilence(ctx context.Context, id string, by alertd.Actor) error {
	return a.do(ctx, func(l *leader) (engine.Input, error) {
		in, err := l.machine.PlanExpiry(clock(), id, by)
		if err != nil || len(in.Silences) == 0 {
			return nil, err
		}
		return in, nil
	})
}

// Receivers are all receivers, sorted by their names.
func (a *App) Receivers(context.Context) []amapi.Receiver {
	return a.current.Load().receivers
}

// RoutingYAML is the routing in force as people may see it.
func (a *App) RoutingYAML(context.Context) string { return a.current.Load().routingYAML }

// Peers are the nodes that work together, this one first.
func (a *App) Peers(ctx context.Context) []amapi.Peer {
	peers := []amapi.Peer{{Name: a.node, Address: a.listener.Addr().String()}}
	all, err := a.nodes.Peers(ctx)
	if err != nil {
		a.log.Warn("the other nodes are not known", "error", err)
	}
	for _, n := range all {
		if n.Name != a.node {
			peers = append(peers, amapi.Peer(n))
		}
	}
	return peers
}

// newUUID is a random UUID, version 4 (RFC 9562): what tools expect a silence's ID to be.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails, see crypto/rand
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
