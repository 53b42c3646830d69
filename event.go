package alertd

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
)

// TraceRef points at the span that an event came from (W3C Trace Context). Ids are lower-case hexadecimal: 32
// digits for a trace, 16 for a span; empty means none.
type TraceRef struct {
	TraceID   string `json:"trace_id,omitempty"`
	SpanID    string `json:"span_id,omitempty"`
	Unsampled bool   `json:"unsampled,omitempty"` // the flags said that nobody keeps this trace: text, not a link

	// What an exemplar says besides: whether the request ended in an error, and what was measured in the span, in the
	// unit of the metric. 0: not said.
	Failed bool  `json:"failed,omitempty"`
	Value  Value `json:"value,omitzero"`
}

// IsZero reports whether there is no trace.
func (t TraceRef) IsZero() bool { return t.TraceID == "" }

// SaysFailed reports whether a label or attribute says that the request which it belongs to ended in an error: a status
// of 5xx, error="true", outcome="failure", a gRPC code that is the server's fault, …
func SaysFailed(name, value string) bool {
	name, value = strings.ToLower(strings.ReplaceAll(name, ".", "_")), strings.ToLower(value)
	switch name {
	case "code", "status", "status_code", "response_code", "http_code", "http_status", "http_status_code", "http_response_status_code":
		if len(value) == 3 && value[0] == '5' {
			return true
		}
		fallthrough
	case "outcome", "result", "otel_status_code", "error":
		return value == "error" || value == "failed" || value == "failure" || value == "true" && name == "error"
	case "error_type", "exception":
		return value != "" && value != "none"
	case "grpc_code", "grpc_status", "grpc_status_code", "rpc_grpc_status_code":
		return slices.Contains(grpcFaults, value)
	default:
		return false
	}
}

// grpcFaults are the codes that say that the server is at fault, by name and by number.
var grpcFaults = []string{
	"unknown", "deadlineexceeded", "deadline_exceeded", "unimplemented", "internal", "unavailable", "dataloss", "data_loss",
	"2", "4", "12", "13", "14", "15",
}

// Sample is one value of one series at one instant.
type Sample struct {
	Labels Labels // with the metric's name in __name__
	T      int64  // milliseconds since the epoch, the producer's clock
	V      float64
	H      *histogram.FloatHistogram // a native histogram, which then is the value; nobody changes it any more
	Trace  TraceRef
	Note   string // what the sender says about it: of a health check, its error; no rule reads it

	// ValidFor is how long the sample is believed unless another one replaces it; 0: as long as the rule that reads
	// it says. With [Withdrawn] it is no sample, see there.
	ValidFor time.Duration
}

// Withdrawn is the ValidFor of a sample which says that nobody reports on something any more. It ends all series of the
// metric that have the same service and the same environment, or neither, and it has no value.
const Withdrawn time.Duration = -1

// Time is the sample's instant.
func (s Sample) Time() time.Time { return time.UnixMilli(s.T).UTC() }

// Occurrence is a discrete thing that happened: a deployment, a backup, a breach.
type Occurrence struct {
	Type    string // dotted, as in "deployment.completed"
	Labels  Labels // with "service" where one was named
	Message string
	Time    time.Time
	Trace   TraceRef

	ValidFor time.Duration // how long it stands; 0: as long as the rule says
}

// Events is what one message held, in the order in which it held it.
type Events struct {
	Samples     []Sample
	Occurrences []Occurrence
	Metadata    []Metadata // that was not known before
}

// Metadata is what publishers say of a metric, for people.
type Metadata struct {
	Metric string // without the endings that the series of a histogram or a summary have
	Type   string // "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset" or "unknown"; "": not said
	Help   string
	Unit   string
}

// DeadLetter is a message, or a part of one, that could not be decoded. It is counted, kept and shown.
type DeadLetter struct {
	Seq     uint64    `json:"seq"` // sequence in the EVENTS stream; 0 for what never was in it
	Subject string    `json:"subject"`
	Time    time.Time `json:"time"`
	Reason  string    `json:"reason"` // with the position: "item 3: line 1, column 17: …"
	Excerpt string    `json:"excerpt"`
}

// ExcerptOf cuts a payload to what a person needs to recognise it: 256 bytes of valid, printable text.
func ExcerptOf(payload []byte) string {
	const limit = 256
	cut := payload
	if len(cut) > limit {
		cut = cut[:limit]
	}
	s := strings.ToValidUTF8(string(cut), "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(payload) > limit {
		s += "…"
	}
	return s
}
