// Package tracectx reads W3C trace context, writes links to the trace that an alert came from, reads what a tracing
// back-end answers about it, and says how it is laid out: which spans, which of them the end waited for.
//
// It is pure: text in, values out; package tracestore asks the back-end, and package waterfall draws. It knows header
// maps of the shape that nats.Header and http.Header share, but neither type, and it does not need the OpenTelemetry SDK.
package tracectx

import (
	"slices"
	"strings"

	"alertd"
)

// Header is a set of header fields, as in net/http and in NATS. Names are compared without regard to case.
type Header = map[string][]string

const (
	headerName  = "traceparent"
	traceDigits = 32
	spanDigits  = 16
)

// FromHeader returns the trace context of the field traceparent, or the zero TraceRef where there is none or
// it is invalid. The name is matched without regard to case, because NATS keeps names as the publisher wrote
// them: the usual HTTP carrier writes "Traceparent", the specification "traceparent". Where a message has
// both, the spelling of the specification wins.
func FromHeader(h map[string][]string) alertd.TraceRef {
	if len(h) == 0 {
		return alertd.TraceRef{}
	}
	if ref := fromValues(h[headerName]); !ref.IsZero() {
		return ref
	}
	if ref := fromValues(h["Traceparent"]); !ref.IsZero() {
		return ref
	}
	var names []string
	for name := range h {
		if len(name) == len(headerName) && strings.EqualFold(name, headerName) {
			names = append(names, name)
		}
	}
	slices.Sort(names) // the order of a map must not decide
	for _, name := range names {
		if ref := fromValues(h[name]); !ref.IsZero() {
			return ref
		}
	}
	return alertd.TraceRef{}
}

// fromValues wants exactly one value: the specification calls several invalid, since nobody can say which holds.
func fromValues(values []string) alertd.TraceRef {
	if len(values) != 1 {
		return alertd.TraceRef{}
	}
	return parse(strings.TrimSpace(values[0]))
}

// parse reads "version-trace-span-flags". Versions after 00 may add fields at the end; ff is forbidden.
// Upper-case digits, which the specification forbids, are forgiven.
func parse(s string) alertd.TraceRef {
	const length = 2 + 1 + traceDigits + 1 + spanDigits + 1 + 2
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return alertd.TraceRef{}
	}
	version, flags := strings.ToLower(s[:2]), s[53:55]
	switch {
	case !hexadecimal(version) || !hexadecimal(flags) || version == "ff":
		return alertd.TraceRef{}
	case len(s) > length && (version == "00" || s[length] != '-'):
		return alertd.TraceRef{}
	}
	ref := Valid(s[3:35], s[36:52])
	if ref.SpanID == "" {
		return alertd.TraceRef{}
	}
	ref.Unsampled = digit(flags[1])&1 == 0
	return ref
}

// Valid checks and normalises ids that came in a payload: 32 and 16 hexadecimal digits, not all zero, made
// lower-case. Without a valid trace id the result is zero. A span id that is missing or invalid is left out,
// as the trace can be found without it.
func Valid(traceID, spanID string) alertd.TraceRef {
	if !id(traceID, traceDigits) {
		return alertd.TraceRef{}
	}
	ref := alertd.TraceRef{TraceID: strings.ToLower(traceID)}
	if id(spanID, spanDigits) {
		ref.SpanID = strings.ToLower(spanID)
	}
	return ref
}

func id(s string, digits int) bool {
	return len(s) == digits && hexadecimal(s) && strings.Trim(s, "0") != ""
}

func hexadecimal(s string) bool {
	for i := range len(s) {
		if digit(s[i]) > 15 {
			return false
		}
	}
	return true
}

// digit is the value of a hexadecimal digit, or 255.
func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	default:
		return 255
	}
}
