// Package healthpoll asks services for their health and publishes what it learns as health events, like any
// other publisher: nothing downstream can tell a service that reports by itself from one that is asked.
//
// # What becomes of an answer
//
// Every target is asked for two pages at once, /health/live and /health/ready. The event holds the checks of the
// ready page, and two of its own: "live" and "ready" (they replace checks of the service that have these names),
// with the latency and, where something is wrong, the reason. The status of the service is the worse of the two.
//
// What a service says itself counts at once: a body with "unhealthy" or "degraded", an answer outside 2xx that has
// a body to read. What it does not say (no connection, no answer in time, no such name, a bad certificate, an error
// page) may be the network's fault or a restart: it is degraded until the third miss in a row, which come 2 seconds
// apart, and unhealthy from then on. One answer ends it. A 2xx answer whose body cannot be read is alive, but
// degraded as for being ready. A body whose timestamp stands still for a minute (three intervals, if that is
// longer) comes from a cache that nobody fills any more: unhealthy. Clocks are not compared, so a service whose
// clock is wrong is not taken for a stale one.
//
// # Schedule
//
// Each target has its own place in its interval, from a hash of its name and URL, so that targets spread and keep
// their place over restarts. A slow target misses slots, it does not queue them. Connections are kept open, proxies
// of the environment are not used, redirects are not followed.
package healthpoll
