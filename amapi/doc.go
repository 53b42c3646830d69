// Package amapi speaks Alertmanager's HTTP API, version 2, so that whatever posts to an Alertmanager or asks one can
// use alertd in its place: Prometheus, vmalert, Loki, Grafana, amtool, karma.
//
// The contract is Alertmanager's OpenAPI document; where that is silent, status codes and bodies are those that the
// program sends. The package reads copies of state and hands what is posted to its owner; it decides nothing. Handlers
// are safe for concurrent use. Time-outs and the size of headers are the server's to bound.
//
// Two things are not as in Alertmanager. A post with an alert that makes no sense still stores all others, whatever
// is wrong with the one. And no answer invites pages of other sites (CORS): whoever can lure a reader of alertd onto a
// page could else read all alerts and hide them with a silence. Grafana and karma ask from their servers and need no
// such invitation.
package amapi
