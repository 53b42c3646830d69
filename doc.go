// Package alertd is the vocabulary of the alerting daemon: the words that all of its rooms share.
//
// An event arrives as [Sample] or [Occurrence]. Rules turn it into a [Verdict]. The engine turns verdicts
// into journal entries ([Entry], batched in a [Commit]): alerts change state ([Transition]), join groups
// ([Joined]), groups speak ([Flushed], [Planned]) or say why they did not ([Withheld]), and senders answer
// ([Attempt]). Everything that anybody later wants to know is read from those entries.
//
// The package holds values only: no I/O, no clock, no goroutine. All types are safe to share between
// goroutines once nobody changes them any more; nothing here locks. Times are UTC instants.
package alertd
