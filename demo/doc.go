// Package demo is a small shop of five services that one can watch alertd by: storefront, checkout, payments, catalog and
// search publish metrics, health and events as real ones would. After ten seconds payments loses its database; a
// minute later it has it back.
//
// What is published follows from the seed and the clock that is passed in; only [Run] talks to NATS and waits.
package demo
