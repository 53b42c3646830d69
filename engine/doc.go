// Package engine is the pure heart of alertd: a state machine that decides, for every verdict, delivery result
// and passing of time, what alerts become and what is said to whom.
//
// [Machine.Step] decides, and hands out its decisions as journal entries; [Machine.Apply] changes state.
// Step itself changes state only by applying the entries that it returns, so folding a journal with Apply
// gives the state of the process that wrote it. [Machine.Next] says when the machine wants to be stepped with
// a nil input because time alone has made something due.
//
// The order of effects is the caller's duty: remember (append the entries to the journal), then speak (offer
// what [Machine.Outgoing] returns to the senders), then acknowledge.
//
// There is no clock, goroutine, context, logger or I/O here, nor below. The same inputs at the same instants
// give the same entries, byte for byte: what is read from maps is sorted first.
//
// # Time
//
// Two clocks are kept apart. Verdicts carry the time of the events that they speak of, and the patience of
// rules (for, keep_firing_for) is counted on it. Everything about telling people (group_wait, calendars,
// retries) is counted on now, the daemon's clock.
package engine
