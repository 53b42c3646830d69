// Package healthpoll asks services for their health and publishes what it learns as health events, like any
// other publisher: nothing downstream can tell a service that reports by itself from one that is asked.
//
// # What becomes of an answer
//
// An http target is asked for two pages on one connection, /health/live and /health/ready; [ParseBody] says which
// bodies are understood. The event holds the checks of the ready page, and two of its own: "live" and "ready" (they
// replace checks of the service that have these names), with the latency and, where something is wrong, the reason.
// The targets of the other kinds have one check, which has the name of the kind. The status of the service is the
// worst of the checks that the poller adds; those in a body are the service's own to weigh.
//
// What a service says itself counts at once: a body with "unhealthy" or "degraded", an answer outside 2xx that has
// a body to read, a gRPC server that says NOT_SERVING. What it does not say (no connection, no answer in time, no such
// name, a bad certificate, an error page) may be the network's fault or a restart: it is degraded until the third
// miss in a row ([Target.Fall]), and unhealthy from then on. Before anything is known of a target, misses are not told
// at all until they count: a restart of alertd resolves nothing. What was unhealthy before it still is, by the last report
// that the stream of events has. Two good answers in a row ([Target.Rise]) end
// unhealthy. While one of the two is being counted, the target is asked every 2 seconds ([Target.FastInterval]).
//
// A 2xx answer whose body cannot be read is alive, but degraded as for being ready. Where the HTTP status, the body's
// status and its checks contradict each other the worse one counts, and the reason says so. A body whose timestamp
// stands still for a minute (three intervals, if that is longer) comes from a cache that nobody fills any more:
// unhealthy. Clocks are not compared, so a service whose clock is wrong is not taken for a stale one.
//
// # Schedule
//
// Each target has its own place in its interval, from a hash of its name and URL, so that targets spread and keep
// their place over restarts. A slow target misses slots, it does not queue them, and it holds up no other one.
// Connections are kept open and are made anew, with a fresh look at DNS and the certificate, once an hour and after a
// failure. Proxies of the environment are not used, redirects are not followed.
//
// NATS micro services need not be listed, see [Micro]: one question on their common subject reaches every instance, so a
// round is one message however many there are. What is missed is asked for again every 2 seconds, as above.
//
// What is no target any more, or no micro service that is looked for, is withdrawn: one last event ends all that earlier
// ones have said. Without it that would be believed for a while, and then be missed.
//
// # When it is the poller
//
// While more than half of the targets that are reached over the network (of at least five) cannot be reached, the
// poller takes itself for blind: it says so in one health event of the service [OwnService], and nothing about targets
// that it cannot reach, but that those which were unhealthy still are. A target is not told before it is clear which of
// the two it is, which takes at most one interval. The same event says when questions are asked late. Every minute
// the poller publishes metrics on each target: how long the phases of a probe took, the interval that was wanted and
// the one that was achieved, and until when the certificate is good.
package healthpoll
