// Package conformance holds alertd against Prometheus itself: its acceptance tests of PromQL on alertd's window; its
// rules package, over its TSDB, beside alertd's evaluator and machine on generated rules and series; its HTTP API beside
// alertd's; and its parser of expositions beside alertd's. And it holds the daemon against Alertmanager, put together from
// its packages.
//
// It is a module of its own, so that Prometheus's TSDB and rule manager and Alertmanager's server stay out of alertd's
// dependencies. There is no code to import here, only tests: go test ./... in this folder.
package conformance
