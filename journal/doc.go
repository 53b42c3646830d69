// Package journal keeps what alertd decided: an append-only log of commits in one JetStream stream, snapshots of the
// state that folding it gives, and the lease that says who may append. It knows nothing of what a decision means.
//
// # Commits and messages
//
// A commit is one message on the subject alertd.journal in the stream ALERTD_JOURNAL. Its header
//
//	Alertd-Journal: 1
//
// is the version of the format; its body is [alertd.Commit] as encoding/json writes it, at most [MaxMessage] bytes.
//
// The body of a commit that is larger is cut into several messages, of version 2. Each has a line of JSON in front, which says
// which part it is ("part", from 0) and whether there is "more". Readers see the commit when its last message is there, which
// has its sequence. If the writer dies before, the next message begins another commit, and what there is of this one counts for
// nothing: what it was about is decided again.
//
// A commit of 16 KiB and more, as a storm gives, is packed with S2 instead: version 3. Unpacked it is at most [MaxMessage] bytes.
//
// A reader refuses a version that it does not know, and an entry that it does not know, instead of skipping either:
// a skipped decision is a wrong state. Fields may be added within a version when an old reader may ignore them.
//
// # Order, fence, chain
//
// Every append names the sequence that it expects to be the last one (Nats-Expected-Last-Sequence), so whoever wrote
// in between makes it fail with [ErrFenced]. Nothing else decides who may write; the lease only saves wasted work.
// A commit also names its writer's epoch, and one older than the last commit's is refused.
//
// A commit carries the SHA-256 of its predecessor's body. Replay and Follow check it, and that no sequence is
// missing: they end with [ErrCorrupt] where the journal is not what was written.
//
// # Who moves the fence
//
// A handle may append after what it has seen last: at its opening, by its own Append, or by its own Replay. Follow
// does not count, because a projection that follows the journal says nothing about the state of whoever decides.
// After ErrFenced or [ErrUnknown] the caller's state is not the journal's any more: fold again with Replay.
//
// # Size
//
// Snapshots make reading the journal at start shorter. [NATS.Trim] forgets what is older than somebody wants to know and in both
// snapshots; up to where, it writes into the stream's metadata, so that a commit that is missing otherwise is one that was lost.
package journal
