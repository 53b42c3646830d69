// Package natsbus gives alertd its NATS: a server inside the process, or a connection to one that exists, and
// the two streams that everything else stands on. It knows subjects and limits; it knows nothing of rules, alerts
// or groups.
//
// # Streams
//
//	ALERTD_EVENTS   alertd.metrics.> alertd.health.> alertd.events.>   what services say; limited by age and bytes
//	ALERTD_JOURNAL  alertd.journal                                     what alertd decided; trimmed by package journal alone
//
// [Bus.EnsureStreams] makes both, or brings them up to date, and leaves alone whatever else an operator has set
// on them. EVENTS drops its oldest message when it is full. JOURNAL refuses the newest instead: it is the truth,
// and nothing in it may vanish unseen. So that it does not come to that, EVENTS always has a limit of bytes that leaves
// room for the journal.
//
// # The embedded server
//
// It listens for publishers on loopback and keeps its files in [Options.StoreDir], which only one process may use
// at a time. Our own client does not go through the socket. Clients of the socket need no credentials; they may
// publish events and read, but may not write the journal nor change or delete a stream, a snapshot or a lease.
//
// A publish that was acknowledged survives the death of the process (kill -9), because the server writes to the
// page cache before it answers. It reaches the disk within two minutes (the server's sync_interval), so a power cut
// can cost that much. Where that is too much, run a NATS cluster with three replicas and name it in [Options.URL].
//
// # Somebody else's server
//
// The user that alertd connects as needs JetStream (nats-server 2.11 or newer), a max_payload of 1 MiB, and:
//
//	publish:   alertd.>  $JS.API.>  $JS.ACK.>  $KV.ALERTD_LEASE.>  $O.ALERTD_SNAPSHOTS.>  $SRV.>  _INBOX.>
//	subscribe: alertd.>  $SRV.>  _INBOX.>
//
// What it is refused while it runs, [Bus.Denied] names.
//
// Publishers need no more than alertd.metrics.>, alertd.health.>, alertd.events.> and, to receive
// acknowledgements, their own _INBOX.>.
package natsbus
