// Package rules turns samples and occurrences into verdicts.
//
// [Parse] reads Prometheus rule files, and occurrence rules beside them, into an immutable [Set]. An [Evaluator]
// keeps the recent window of what the rules of a set read and evaluates them in two ways:
//
//   - As samples arrive. [PartitionOf] says by which labels the series of a rule fall apart into groups that do
//     not influence each other. A sample makes one such group, a key, dirty, and only that key is evaluated, at
//     the instant of its newest sample. What cannot be taken apart is evaluated whole, less often.
//   - On ticks. Every group is evaluated whole at its interval, on the slots that Prometheus would use. That is
//     what notices absence, sliding windows and staleness.
//
// Both give what Prometheus's own engine gives for the same samples at the same instant. Where an expression has
// one of the common shapes a compiled program answers in its place; tests compare the two bit by bit, and the
// module in conformance/ compares all of it with Prometheus's rules package over its TSDB.
//
// The package has no clock, no goroutine, no logger and no I/O: now is an argument. Only the engine inside has a
// time limit of its own, so that no expression can hold the daemon up for ever.
package rules
