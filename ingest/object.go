package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// field is one member of a JSON object.
type field struct {
	key string
	at  int    // of the value, in the payload
	raw []byte // the value
}

// fault is trouble at a place of the payload.
type fault struct {
	at  int
	msg string
}

func (f *fault) Error() string { return f.msg }

func faultf(at int, format string, args ...any) *fault {
	return &fault{at, fmt.Sprintf(format, args...)}
}

// object is a JSON object with the order and the places of its members.
type object struct {
	at     int
	fields []field
}

func (o *object) has(name string) bool {
	return slices.ContainsFunc(o.fields, func(f field) bool { return f.key == name })
}

// get finds a member; null counts as missing, as most encoders write it so.
func (o *object) get(name string) (f field, ok bool, err *fault) {
	n := 0
	for _, g := range o.fields {
		if g.key == name {
			if n++; n > 1 {
				return field{}, false, faultf(g.at, "%q comes twice", name)
			}
			f = g
		}
	}
	return f, n == 1 && f.raw[0] != 'n', nil
}

// text is a string that must be there.
func (o *object) text(name, shape string) (s string, at int, err *fault) {
	f, ok, err := o.get(name)
	if err != nil {
		return "", 0, err
	}
	if !ok {
		return "", 0, o.missing(name, shape)
	}
	s, ok = f.text()
	switch {
	case !ok:
		return "", 0, faultf(f.at, "%q is %s; it must be a string; %s", name, describe(f.raw), shape)
	case s == "":
		return "", 0, faultf(f.at, "%q is empty; %s", name, shape)
	}
	return s, f.at, nil
}

func (o *object) value() (float64, *fault) {
	f, ok, err := o.get("value")
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, o.missing("value", metricShape)
	}
	if s, ok := f.text(); ok {
		if v, ok := special(s); ok {
			return v, nil
		}
		if v, end, ok := number([]byte(s), 0); ok && end == len(s) && !math.IsInf(v, 0) {
			return 0, faultf(f.at, `"value" is the string %s; write the number without quotes`, describe(f.raw))
		}
		return 0, faultf(f.at, `"value" is %s; it must be a number, "NaN", "+Inf" or "-Inf"`, describe(f.raw))
	}
	v, end, ok := number(f.raw, 0)
	if !ok || end != len(f.raw) {
		return 0, faultf(f.at, `"value" is %s; it must be a number, "NaN", "+Inf" or "-Inf"`, describe(f.raw))
	}
	return v, nil
}

func (o *object) missing(name, shape string) *fault {
	return faultf(o.at, "the event has no %q (its fields: %s); %s", name, o.names(), shape)
}

// names lists the fields for a person who looks for the misspelt one.
func (o *object) names() string {
	const limit = 8
	if len(o.fields) == 0 {
		return "none"
	}
	var names []string
	for _, f := range o.fields[:min(limit, len(o.fields))] {
		names = append(names, fmt.Sprintf("%q", short(f.key)))
	}
	if len(o.fields) > limit {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

// members lists the members of a valid JSON object that starts at base of the payload.
func members(to []field, raw []byte, base int) []field {
	for i := space(raw, 1); i < len(raw) && raw[i] == '"'; {
		end := text(raw, i)
		key, _ := field{raw: raw[i:end]}.text()
		i = space(raw, space(raw, end)+1) // behind the colon
		end = valueEnd(raw, i)
		to = append(to, field{key: key, at: base + i, raw: raw[i:end]})
		i = space(raw, space(raw, end)+1) // behind the comma or the brace
	}
	return to
}

// valueEnd is the end of the value at i of valid JSON.
func valueEnd(raw []byte, i int) int {
	switch raw[i] {
	case '"':
		return text(raw, i)
	case '{', '[':
		end, _ := extent(raw, i)
		return end
	}
	for i < len(raw) && raw[i] != ',' && raw[i] != '}' && raw[i] > ' ' {
		i++
	}
	return i
}

// text is the value of a string; false for all else.
func (f field) text() (string, bool) {
	if f.raw[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(f.raw, '\\') < 0 {
		return string(f.raw[1 : len(f.raw)-1]), true
	}
	var s string
	err := json.Unmarshal(f.raw, &s)
	return s, err == nil
}

// describe says what a value is, for messages.
func describe(raw []byte) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 'n':
		return "null"
	case 't', 'f':
		return string(raw)
	default:
		if len(raw) > 40 {
			return strings.ToValidUTF8(string(raw[:40]), "") + "…"
		}
		return string(raw)
	}
}

func short(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}

// cut shortens a message for people; unlike a label's value it names nothing, so that a part of it is better than none.
func cut(s string) string {
	if len(s) <= MaxText {
		return s
	}
	s = s[:MaxText]
	for len(s) > 0 && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]) && !utf8.RuneStart(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return strings.ToValidUTF8(s, "") + "…"
}
