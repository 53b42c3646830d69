// Package ingest turns what publishers put on NATS into samples and occurrences.
//
// [Decoder] knows the wire formats, [Read] reads the stream ALERTD_EVENTS without losing an event, and
// [DeadLetters] keeps what could not be decoded.
//
// # Formats
//
// A message is written in one of these formats. The header Content-Type says which, in any case; where it does not, the
// first bytes do.
//
//	our own events        application/json, or a body that starts with { or [
//	CloudEvents 1.0       application/cloudevents+json, or the member specversion; in binary mode the header ce-specversion
//	OTLP metrics          application/x-protobuf; JSON whose only member is resourceMetrics
//	Prometheus text       text/plain; version=0.0.4, or a line that is a name, labels and a number
//	OpenMetrics           application/openmetrics-text, or the above with # EOF at the end
//	fluent-bit            a JSON array of [time, {record}]
//	Influx line protocol  no header, or text/plain; a line that is a measurement, tags and field=value
//
// Content-Encoding may be gzip, zstd or snappy. A message may have [MaxPayload] bytes when it is not compressed, and
// 250 times what it had before. A message makes [MaxEvents] samples at most. Each item (an event, a line, a data
// point) stands for itself: one that is refused becomes a [Problem] with its place, and the others count.
//
// # Our own events
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
//
// # Influx line protocol
//
// A field becomes the metric measurement_field with the tags as labels: integers, floats and booleans (1 and 0) are
// values, texts are passed over and counted. The measurement "prometheus", which Telegraf gives to what it has
// scraped, adds nothing to the name. What PromQL cannot read in a name becomes an underscore; values of tags
// that become one are joined with a semicolon. Timestamps are nanoseconds; seconds, milli- and microseconds are
// known by their size.
//
// # OTLP
//
// Names, units and attributes are translated as Prometheus does: http.server.duration in s becomes
// http_server_duration_seconds, a monotonic sum ends in _total. service.name becomes the label service, and with
// service.namespace the label job; service.instance.id becomes instance; what else the resource says is in
// target_info. A histogram becomes _bucket, _sum and _count, an exponential histogram a native one. The trace is that
// of the newest exemplar; a bucket's is that of the exemplars that fell into it.
//
// PromQL wants counters that rise, so values with delta temporality are added up, in a table of bounded size. The first
// point of a series is preceded by a zero at its start time. A point that is as old as the last one of its series came
// twice and adds nothing; an older one is refused. A sum begins again at zero, as that of a restarted
// process does, when the daemon begins to read and when the table was full of others.
//
// # CloudEvents
//
// The type decides: "alertd.metric" and "alertd.health" hold one of our own events, or an array of them, as data; so
// does any CloudEvent on a subject of metrics or health. Any other is an occurrence of that type. The event's
// time is that of its data where that has none. An occurrence has as labels those of the data's member "labels",
// its "service", and of the envelope source, subject and the extensions; its message is the data's "message", or the
// data if it is a text. Events with the same source, id, type and time are one.
//
// # fluent-bit
//
// Every number and boolean of a record is a sample with its key as name. The texts that say where the record is from
// (service, host, hostname, instance, container_name, pod_name, namespace_name) are labels, all others are
// passed over and counted: they may be log lines.
package ingest
