// Package rehearse is the daemon on a clock that the caller moves: rules, routing, grouping, inhibition and business
// hours decide as they do in earnest, and what would be sent is written down instead of sent. Every delivery counts
// as arrived at once.
//
// [Tests] are unit tests of rules in promtool's format, which here may go on to what people are told. [Backtest]
// replays recorded events and [Compare] says what another policy would have told differently.
//
// Nothing here reads a clock or a file, or starts a goroutine: the same input gives the same output, byte for byte.
package rehearse
