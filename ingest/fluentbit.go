package ingest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"alertd"
)

// Texts of a fluent-bit record that become labels: they say where the record is from. Any other may be the text of a
// log line, and does not.
var fluentLabels = []string{"service", "host", "hostname", "instance", "container_name", "pod_name", "namespace_name"}

const fluentShape = `a record of fluent-bit is [1768473000.5,{"cpu_p":1.5,"hostname":"a"}]`

// fluentLike reports whether the array at i is a record of fluent-bit: a time and an object.
func fluentLike(b []byte, i int) bool {
	i = space(b, i+1)
	if i < len(b) && b[i] == '[' { // newer ones have [time, {metadata}]
		i = space(b, i+1)
	}
	return i < len(b) && isDigit(b[i])
}

// record reads a record of fluent-bit, as a whole or not at all.
func (d *Decoder) record(raw []byte, at int) {
	first, skipped := len(d.out.Samples), d.skipped
	if err := d.fluent(raw, at); err != nil {
		clear(d.out.Samples[first:])
		d.out.Samples, d.skipped = d.out.Samples[:first], skipped
		d.refuse(err.at, "%s", err.msg)
	}
}

// fluent reads a record that is an element of the message's array. Every number and boolean of it is a sample, named
// as its key.
func (d *Decoder) fluent(raw []byte, at int) *fault {
	if _, depth := extent(raw, 0); depth > maxDepth {
		return faultf(at, "the record is nested more than %d deep", maxDepth)
	}
	if !json.Valid(raw) {
		return faultf(at, "not JSON; %s", fluentShape)
	}
	stamp, next := fluentElement(raw, 1)
	if len(stamp) > 0 && stamp[0] == '[' {
		stamp, _ = fluentElement(stamp, 1)
	}
	record, next := fluentElement(raw, next)
	if len(record) == 0 || record[0] != '{' || raw[space(raw, next)] != ']' {
		return faultf(at, "not a time and an object; %s", fluentShape)
	}
	v, end, ok := number(stamp, 0)
	if !ok || end != len(stamp) {
		return faultf(at, "the time is %s; it must be seconds since 1970", describe(stamp))
	}
	t, ok := unixTime(v)
	if !ok {
		return faultf(at, "the time is %s, which is no number of seconds since 1970", describe(stamp))
	}
	t, err := d.instantOf(t)
	if err != nil {
		return faultf(at, "%v", err)
	}

	fields := members(nil, record, at+bytes.Index(raw, record))
	set := d.newAttributes()
	for _, f := range fields {
		if s, isText := f.text(); isText && slices.Contains(fluentLabels, strings.ToLower(f.key)) {
			if err := set.add(strings.ToLower(f.key), s); err != nil {
				return faultf(f.at, "%v", err)
			}
		}
	}
	set.resolve()
	for _, f := range fields {
		v, ok := 0.0, true
		switch f.raw[0] {
		case 't':
			v = 1
		case 'f':
		case '"', '{', '[', 'n':
			if f.key != "tag" && f.raw[0] != 'n' && !slices.Contains(fluentLabels, strings.ToLower(f.key)) {
				d.skipped++
			}
			continue
		default:
			v, _, ok = number(f.raw, 0)
		}
		name := legalName(nil, []byte(f.key), true)
		if !ok || len(name) == 0 || len(name) > MaxName {
			return faultf(f.at, "%q is %s, which makes no sample", short(f.key), describe(f.raw))
		}
		if !d.room(1) {
			d.tooMany(f.at)
			return nil
		}
		d.out.Samples = append(d.out.Samples, alertd.Sample{Labels: set.build(d, string(name), ""), T: t, V: v, Trace: d.trace})
	}
	return nil
}

// fluentElement is the element at i of a valid JSON array, and where the next one is.
func fluentElement(raw []byte, i int) (element []byte, next int) {
	if i = space(raw, i); i >= len(raw) || raw[i] == ']' {
		return nil, i
	}
	end := elementEnd(raw, i)
	next = space(raw, end)
	if next < len(raw) && raw[next] == ',' {
		next++
	}
	return raw[i:end], next
}
