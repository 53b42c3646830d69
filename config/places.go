package config

import "alertd/router"

// RouteAt is where a route of this routing stands in its file.
func (r *Routing) RouteAt(route *router.Route) Pos { return r.routeAt[route] }

// ReceiverAt is where the receiver of that name stands in its file.
func (r *Routing) ReceiverAt(name string) Pos { return r.receiverAt[name] }

// InhibitionAt is where the inhibition rule of that index stands in its file.
func (r *Routing) InhibitionAt(i int) Pos { return r.inhibitionAt[i] }
