package ingest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// wire is one of the two encodings of OTLP. Both are walked part by part: a part is a field of a message, or one
// element of a repeated one.
type wire struct{ json bool }

type part struct {
	field protowire.Number
	typ   protowire.Type
	raw   []byte // the value, except in protobuf a number
	n     uint64 // a number in protobuf
	at    int
}

// names are the fields of a message that are walked, in JSON; those of the form of protobuf are allowed as well.
type names map[string]protowire.Number

var (
	inRequest  = names{"resourceMetrics": 1, "resource_metrics": 1}
	inResource = names{"resource": 1, "scopeMetrics": 2, "scope_metrics": 2}
	inScope    = names{"metrics": 2}
	inMetric   = names{
		"name": 1, "description": 2, "unit": 3, "gauge": otlpGauge, "sum": otlpSum, "histogram": otlpHistogram, "summary": otlpSummary,
		"exponentialHistogram": otlpExponentialHistogram, "exponential_histogram": otlpExponentialHistogram,
	}
	inData = names{
		"dataPoints": 1, "data_points": 1, "aggregationTemporality": 2, "aggregation_temporality": 2,
		"isMonotonic": 3, "is_monotonic": 3,
	}
)

// each calls f for the parts of a message.
func (w wire) each(raw []byte, at int, fields names, f func(part)) *fault {
	if w.json {
		return eachJSON(raw, at, fields, f)
	}
	for i := 0; i < len(raw); {
		field, typ, n := protowire.ConsumeTag(raw[i:])
		if n < 0 {
			return faultf(at+i, "the protobuf is broken: %v", plainError(protowire.ParseError(n)))
		}
		i += n
		p := part{field: field, typ: typ, at: at + i}
		switch typ {
		case protowire.BytesType:
			p.raw, n = protowire.ConsumeBytes(raw[i:])
			p.at = at + i + max(n-len(p.raw), 0)
		case protowire.VarintType:
			p.n, n = protowire.ConsumeVarint(raw[i:])
		case protowire.Fixed64Type:
			p.n, n = protowire.ConsumeFixed64(raw[i:])
		default:
			n = protowire.ConsumeFieldValue(field, typ, raw[i:])
		}
		if n < 0 {
			return faultf(at+i, "the protobuf is broken: %v", plainError(protowire.ParseError(n)))
		}
		i += n
		if _, message := fields.bytes(field); message && typ != protowire.BytesType {
			return faultf(p.at, "the protobuf is broken: field %d is no message", field)
		}
		f(p)
	}
	return nil
}

// bytes tells whether a field that is walked has a length; temporality and monotonic are those that have none.
func (n names) bytes(field protowire.Number) (_, ok bool) {
	if n == nil {
		return false, false
	}
	if _, data := n["isMonotonic"]; data {
		return false, field == 1
	}
	for _, f := range n {
		if f == field {
			return false, true
		}
	}
	return false, false
}

func eachJSON(raw []byte, at int, fields names, f func(part)) *fault {
	if raw[0] == 'n' {
		return nil
	}
	if raw[0] != '{' {
		return faultf(at, "%s is not an object", describe(raw))
	}
	for _, m := range members(nil, raw, at) {
		field, ok := fields[m.key]
		switch {
		case !ok || m.raw[0] == 'n':
		case m.raw[0] == '[':
			for i := space(m.raw, 1); m.raw[i] != ']'; {
				end := elementEnd(m.raw, i)
				f(part{field: field, raw: m.raw[i:end], at: m.at + i})
				if i = space(m.raw, end); m.raw[i] == ',' {
					i = space(m.raw, i+1)
				}
			}
		default:
			f(part{field: field, raw: m.raw, at: m.at})
		}
	}
	return nil
}

// elementEnd is the end of the element at i of a valid JSON array.
func elementEnd(raw []byte, i int) int {
	end := valueEnd(raw, i)
	if at := bytes.IndexByte(raw[i:end], ']'); at >= 0 && raw[i] != '"' && raw[i] != '{' && raw[i] != '[' {
		return i + at
	}
	return end
}

func (w wire) text(p part) string {
	if w.json {
		s, _ := field{raw: p.raw}.text()
		return s
	}
	return strings.ToValidUTF8(string(p.raw), "\uFFFD")
}

func (w wire) enum(p part, values map[string]int32) uint64 {
	if !w.json {
		return p.n
	}
	s, ok := field{raw: p.raw}.text()
	if !ok {
		s = string(p.raw)
	} else if n, ok := values[s]; ok {
		return uint64(n)
	}
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

func (w wire) boolean(p part) bool {
	if w.json {
		return string(p.raw) == "true"
	}
	return p.n != 0
}

func (w wire) unmarshal(raw []byte, to proto.Message) error {
	var err error
	if w.json {
		err = protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxDepth}.Unmarshal(raw, to)
	} else {
		err = proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxDepth}.Unmarshal(raw, to)
	}
	if err != nil {
		return plainError(err)
	}
	return nil
}

// id is an id as hexadecimal digits. OTLP writes ids in JSON as hexadecimal, protojson takes them for base64 and
// does not complain. Such a reading can be undone: hexadecimal digits come in fours here, and base64 of fours is
// one to one. Ids that really were base64 have the right length.
func (w wire) id(b []byte, size int) string {
	if w.json && len(b) == size*3/2 {
		return base64.StdEncoding.EncodeToString(b)
	}
	return hex.EncodeToString(b)
}

var inPoint = regexp.MustCompile(`\(line \d+:\d+\):? ?`)

// plainError takes the name of the library from its errors, and the space of changing width that it puts behind it.
// Its own places count from the start of the data point, and are left out.
func plainError(err error) error {
	s := inPoint.ReplaceAllString(strings.ReplaceAll(err.Error(), "\u00a0", " "), "")
	return faultf(0, "%s", strings.TrimSpace(strings.TrimPrefix(s, "proto:")))
}
