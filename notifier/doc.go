// Package notifier delivers what the engine planned and reports what came of it.
//
// An [Outbox] takes jobs, gives each to the [Sender] of its destination and reports every attempt as an
// [alertd.Attempt]. It never decides whether or when to try again: the engine plans that from the attempt, so
// that due times live in the journal and survive a restart. What the outbox does promise: jobs of one group go
// one at a time and in order, critical ones go first, a slow destination holds up no other one, and a sender
// that panics costs one attempt.
//
// Senders live in the packages slack, webhook and console. [Limit] and [Break] wrap any of them. The words that
// people read (titles, ages, values, order) are the same in all of them: they come from the functions of
// render.go. What a transport error means is decided once, in http.go: was anything sent, or not?
package notifier
