// Package ingest turns what publishers put on NATS into samples and occurrences.
//
// [Decoder] knows the wire formats, [Read] reads the stream ALERTD_EVENTS without losing an event, and
// [DeadLetters] keeps what could not be decoded.
//
// # Wire format
//
// A message holds events as JSON: one object, an array of objects, or objects one after another (NDJSON).
// What kind of events they are is said by the subject, and where the subject does not say it by their fields.
//
//	alertd.metrics.<service>  {"name":"http_requests_total","labels":{"code":"500"},"value":17,"time":"2026-01-15T10:30:00Z"}
//	alertd.health.<service>   {"service":"api","status":"degraded","checks":{"database":{"status":"healthy","latency_ms":5}},"timestamp":"…"}
//	alertd.events.<type>      {"type":"deployment.completed","service":"api","labels":{},"message":"v1.2.3 is live","time":"…"}
//
// An event may name its trace with "trace_id" and "span_id"; the header traceparent speaks for all events of the
// message that do not. An id that is invalid is left out and costs the event nothing else. The instant may be
// called "time" or "timestamp": RFC 3339, or seconds or milliseconds since 1970 as a number. Where it is missing,
// null or Go's zero time, the instant of arrival counts. More than [MaxAhead] in the future is refused. Fields that
// are not known are ignored.
//
// A value is a number, or one of the strings "NaN", "+Inf" and "-Inf". Names and labels follow Prometheus:
// UTF-8 names are allowed, a label with an empty value does not exist, a name that comes twice is a mistake. The label
// service is, in this order, that of the labels, the field "service", the third token of the subject.
//
// A health event becomes the samples health_status{service,status} and health_check_status{service,check,status},
// each 1 for the status that holds and 0 for the two others, and health_check_latency_seconds{service,check} where
// a latency was given.
package ingest
