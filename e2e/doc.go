// Package e2e starts the real binary as a process of its own, with real NATS and real SQLite, and listens to what it
// says. Its tests are stories of the whole way, from an event that is published to the page that somebody gets; the
// benchmark in bench uses the same parts.
//
// Nothing here knows how alertd works inside: a [Daemon] is known by its flags, its line "msg=ready", its HTTP
// answers and its exit code.
package e2e
