package ingest

import (
	"bytes"
	"encoding/json"

	"alertd"
)

// fast decodes the metric event at i if it has the usual shape and its labels are in the table, in about a
// tenth of the time that encoding/json takes. It returns the end of the event, or 0 where decode has to have a look;
// then key is what the event's labels are to be kept under, or nil where they cannot be.
//
// The key is the text of the name and of the labels as they stand in the payload, and what else the service
// may come from. The same text was read by decode before, so that nothing of it needs to be looked at again:
// the labels end at the first brace that is not in a string, and what is between is known by the table.
// Everything else is checked here as strictly as JSON is. FuzzFastPath holds the two together.
func (d *Decoder) fast(i int) (end int, key []byte) {
	const (
		sawName = 1 << iota
		sawLabels
		sawValue
		sawTime
		sawTrace
		sawSpan
		sawService
	)
	var (
		b                                   = d.buf
		saw                                 int
		name, set, traceID, spanID, service []byte
		v                                   float64
		t                                   = d.received
	)
	for {
		// "key" :
		i = space(b, i+1) // behind the brace or the comma
		if i >= len(b) || b[i] != '"' {
			return 0, nil
		}
		field, next, ok := plain(b, i)
		if !ok {
			return 0, nil
		}
		i = space(b, next)
		if i >= len(b) || b[i] != ':' {
			return 0, nil
		}
		i = space(b, i+1)
		if i >= len(b) {
			return 0, nil
		}

		bit := 0
		switch string(field) {
		case "name":
			bit = sawName
			name, i, ok = plain(b, i)
		case "value":
			bit = sawValue
			v, i, ok = fastValue(b, i)
		case "labels":
			bit = sawLabels
			if b[i] == '{' {
				set, i, ok = braces(b, i)
			} else {
				i, ok = word(b, i, "null")
			}
		case "time", "timestamp":
			bit = sawTime
			if b[i] == 'n' {
				i, ok = word(b, i, "null")
			} else {
				t, i, ok = d.fastTime(b, i)
			}
		case "trace_id":
			bit = sawTrace
			traceID, i, ok = plainOrNull(b, i)
		case "span_id":
			bit = sawSpan
			spanID, i, ok = plainOrNull(b, i)
		case "service":
			bit = sawService
			service, i, ok = plainOrNull(b, i)
			ok = ok && printable(service)
		case "type", "status", "checks":
			ok = d.kind == metric // else it may be another kind of event
			if ok {
				i, ok = skip(b, i)
			}
		case "valid_for":
			ok = false // rare
		default: // the publisher's own
			i, ok = skip(b, i)
			ok = ok && printable(field)
		}
		if !ok || saw&bit != 0 {
			return 0, nil
		}
		saw |= bit

		i = space(b, i)
		if i >= len(b) {
			return 0, nil
		}
		if b[i] == '}' {
			break
		}
		if b[i] != ',' {
			return 0, nil
		}
	}
	if saw&(sawName|sawValue) != sawName|sawValue {
		return 0, nil
	}

	key = d.fastKey(name, set, service, saw&sawService != 0)
	ls, ok := d.table.get(key)
	if !ok {
		return 0, key
	}
	trace := d.trace
	if saw&sawTrace != 0 {
		if !printable(traceID) || !printable(spanID) {
			return 0, nil
		}
		trace = d.fastTrace(traceID, spanID)
	} else if saw&sawSpan != 0 && !printable(spanID) {
		return 0, nil
	}
	d.out.Samples = append(d.out.Samples, alertd.Sample{Labels: ls, T: t, V: v, Trace: trace})
	return i + 1, nil
}

// fastKey is the key of an event in the table. A name holds no quote, the labels end with their brace, the field has no
// quote: the parts cannot be confused.
func (d *Decoder) fastKey(name, set, service []byte, hasService bool) []byte {
	key := append(append(append(d.key[:0], '"'), name...), '"')
	key = append(key, set...)
	if hasService {
		key = append(append(append(key, '"'), service...), '"')
	}
	if d.kind == metric {
		key = append(append(key, '.'), d.token...)
	}
	d.key = key
	return key
}

// plain is the inside of the string at i, if it has no escape. Control characters are left to the caller.
func plain(b []byte, i int) (inside []byte, end int, ok bool) {
	if b[i] != '"' {
		return nil, 0, false
	}
	i++
	for j := i; j < len(b); j++ {
		switch b[j] {
		case '"':
			return b[i:j], j + 1, true
		case '\\':
			return nil, 0, false
		}
	}
	return nil, 0, false
}

func plainOrNull(b []byte, i int) (inside []byte, end int, ok bool) {
	if b[i] == 'n' {
		end, ok = word(b, i, "null")
		return nil, end, ok
	}
	return plain(b, i)
}

// braces is the object at i up to the first brace outside of a string.
func braces(b []byte, i int) (object []byte, end int, ok bool) {
	quotes := 0
	for j := i; ; {
		n := bytes.IndexByte(b[j:], '}')
		if n < 0 {
			return nil, 0, false
		}
		if bytes.IndexByte(b[j:j+n], '\\') >= 0 { // a quote need not be the end of a string
			break
		}
		quotes += bytes.Count(b[j:j+n], quote)
		j += n + 1
		if quotes%2 == 0 {
			return b[i:j], j, true
		}
	}
	for j := i; j < len(b); {
		switch b[j] {
		case '"':
			j = text(b, j)
		case '}':
			return b[i : j+1], j + 1, true
		default:
			j++
		}
	}
	return nil, 0, false
}

var quote = []byte{'"'}

// printable reports whether s has no control character, which JSON forbids in strings.
func printable(s []byte) bool {
	for _, c := range s {
		if c < ' ' {
			return false
		}
	}
	return true
}

// skip passes over a value that nobody reads.
func skip(b []byte, i int) (end int, ok bool) {
	switch b[i] {
	case '"':
		end = text(b, i)
		return end, json.Valid(b[i:end])
	case '{', '[':
		end, depth := extent(b, i)
		return end, end > 0 && depth < maxDepth && json.Valid(b[i:end])
	case 't':
		return word(b, i, "true")
	case 'f':
		return word(b, i, "false")
	case 'n':
		return word(b, i, "null")
	default:
		_, end, ok = number(b, i)
		return end, ok
	}
}

func word(b []byte, i int, w string) (end int, ok bool) {
	end = i + len(w)
	return end, end <= len(b) && string(b[i:end]) == w
}

// fastValue reads the value at i: a number, or one of the words for what is none.
func fastValue(b []byte, i int) (v float64, end int, ok bool) {
	if b[i] != '"' {
		return number(b, i)
	}
	inside, end, ok := plain(b, i)
	if ok {
		v, ok = special(string(inside))
	}
	return v, end, ok
}

// fastTime reads the time at i if it is within what needs no message.
func (d *Decoder) fastTime(b []byte, i int) (t int64, end int, ok bool) {
	if b[i] == '"' {
		var text []byte
		if text, end, ok = plain(b, i); !ok {
			return 0, 0, false
		}
		t, ok = parseUTC(text)
	} else {
		var v float64
		if v, end, ok = number(b, i); !ok {
			return 0, 0, false
		}
		t, ok = unixTime(v)
	}
	return t, end, ok && t >= 0 && t <= d.received+MaxAhead.Milliseconds()
}

// fastTrace keeps the trace of the event before: the samples of one request often come together.
func (d *Decoder) fastTrace(traceID, spanID []byte) alertd.TraceRef {
	if len(traceID) > 0 && d.last.TraceID == string(traceID) && d.last.SpanID == string(spanID) && d.last.TraceID != d.trace.TraceID {
		return d.last
	}
	ref := d.traceFrom(string(traceID), string(spanID))
	if ref.TraceID != d.trace.TraceID {
		d.last = ref
	}
	return ref
}
