// Package app assembles the daemon: it owns the loop, the workers and the servers, and every goroutine is
// started here or in a worker that is owned here.
//
// The loop is one goroutine with one timer (see leader). It takes what is waiting, lets rules and engine
// decide, appends the decisions to the journal as one commit, and only then hands notifications to the senders:
// remember, then speak, then acknowledge. What the senders answer comes back as another input.
package app
