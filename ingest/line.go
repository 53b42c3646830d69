package ingest

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"alertd"
)

// lines reads Influx line protocol: every number and every boolean of a line becomes a sample. A line counts as a
// whole or not at all.
func (d *Decoder) lines() {
	d.buf = bytes.TrimPrefix(d.buf, byteOrderMark)
	d.lineItem, d.lineAt, d.lineBroken = 0, 0, 0
	dec := lineprotocol.NewDecoderWithBytes(d.buf)
	for !d.full && dec.Next() {
		first, skipped := len(d.out.Samples), d.skipped
		if !d.next(0) {
			return
		}
		if err := d.lineEvent(dec, first); err != nil {
			clear(d.out.Samples[first:])
			d.out.Samples, d.skipped = d.out.Samples[:first], skipped
			d.lineProblem(err)
		}
	}
}

// lineEvent reads one line, whose samples start at first.
func (d *Decoder) lineEvent(dec *lineprotocol.Decoder, first int) error {
	nameEnd, err := d.lineKey(dec)
	if err != nil {
		return err
	}
	if err := d.lineFields(dec, nameEnd); err != nil {
		return err
	}
	t, err := d.lineTime(dec)
	if err != nil {
		return err
	}
	for i := first; i < len(d.out.Samples); i++ {
		d.out.Samples[i].T = t
	}
	return nil
}

// lineKey makes of measurement and tags the key that the table has the line's series under, all but the field. No UTF-8
// text holds the byte 0xff. It returns where the measurement ends.
func (d *Decoder) lineKey(dec *lineprotocol.Decoder) (nameEnd int, err error) {
	measurement, err := dec.Measurement()
	if err != nil {
		return 0, err
	}
	d.key = append(append(d.key[:0], 'i'), measurement...)
	nameEnd = len(d.key)
	tags := 0
	for {
		k, v, err := dec.NextTag()
		if err != nil {
			return 0, err
		}
		if k == nil {
			break
		}
		tags++
		d.key = append(append(d.key, 0xff), k...)
		d.key = append(append(d.key, 0xff), v...)
	}
	if tags > MaxLabels {
		return 0, faultf(0, "the line has %d tags, more than %d", tags, MaxLabels)
	}
	d.key = append(d.key, 0xff, 0xff)
	if d.kind == metric {
		d.key = append(d.key, d.token...)
	}
	d.key = append(d.key, 0xff)
	return nameEnd, nil
}

// lineFields makes a sample of each field that is a number, behind the key that lineKey made.
func (d *Decoder) lineFields(dec *lineprotocol.Decoder, nameEnd int) error {
	head := len(d.key)
	for {
		k, kind, raw, err := dec.NextFieldBytes()
		if k == nil || err != nil {
			return err
		}
		v, ok, err := fieldValue(kind, raw)
		if err != nil {
			return faultf(0, "field %q: %v", short(string(k)), err)
		}
		if !ok {
			d.skipped++
			continue
		}
		if !d.room(1) {
			d.tooMany(d.lineStart())
			return nil
		}
		d.key = append(d.key[:head], k...)
		ls, known := d.table.get(d.key)
		if !known {
			if ls, err = d.lineLabels(d.key[1:nameEnd], d.key[nameEnd:head], k); err != nil {
				return err
			}
			d.table.put(d.key, ls)
		}
		d.out.Samples = append(d.out.Samples, alertd.Sample{Labels: ls, V: v, Trace: d.trace})
	}
}

// lineTime is the line's timestamp, or else when it was received.
func (d *Decoder) lineTime(dec *lineprotocol.Decoder) (int64, error) {
	raw, err := dec.TimeBytes()
	if raw == nil || err != nil {
		return d.received, err
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return 0, faultf(0, "the timestamp %q is not a number that fits 64 bits", short(string(raw)))
	}
	return d.instantOf(unixAny(n))
}

// fieldValue is false for a text, which is no sample.
func fieldValue(kind lineprotocol.ValueKind, raw []byte) (v float64, ok bool, err error) {
	if kind == lineprotocol.String {
		return 0, false, nil
	}
	if kind == lineprotocol.Float { // the usual case, without an allocation
		if v, end, ok := number(raw, 0); ok && end == len(raw) {
			return v, true, nil
		}
	}
	value, err := lineprotocol.NewValueFromBytes(kind, raw)
	if err != nil {
		return 0, false, err
	}
	switch kind {
	case lineprotocol.Int:
		return float64(value.IntV()), true, nil
	case lineprotocol.Uint:
		return float64(value.UintV()), true, nil
	case lineprotocol.Bool:
		if value.BoolV() {
			return 1, true, nil
		}
		return 0, true, nil
	default:
		return value.FloatV(), true, nil
	}
}

// lineLabels makes the labels of a series. The metric's name is measurement_field, as Telegraf's own exporter for
// Prometheus has it; what Telegraf scraped from Prometheus (measurement "prometheus") keeps its name.
func (d *Decoder) lineLabels(measurement, tags, field []byte) (alertd.Labels, error) {
	var name []byte
	if string(measurement) != "prometheus" {
		name = legalName(name, measurement, true)
		name = append(name, '_')
	}
	name = legalName(name, field, true)
	if len(name) > MaxName {
		return alertd.Labels{}, faultf(0, "the name %q has %d bytes, more than %d", short(string(name)), len(name), MaxName)
	}
	set := d.newAttributes()
	parts := bytes.Split(tags, []byte{0xff})
	for i := 1; i+1 < len(parts)-3; i += 2 { // before the first tag is nothing, after the last the token
		if err := set.add(string(parts[i]), string(parts[i+1])); err != nil {
			return alertd.Labels{}, err
		}
	}
	set.resolve()
	return set.build(d, string(name), ""), nil
}

// lineProblem tells what is wrong with the line at hand.
func (d *Decoder) lineProblem(err error) {
	if syntax, ok := errors.AsType[*lineprotocol.DecodeError](err); ok {
		d.lineItem = d.item
		d.lineAt = d.offset(int(syntax.Line), 1)
		d.lineBroken = d.offset(int(syntax.Line), syntax.Column)
		d.refuse(d.lineBroken, "not line protocol: %v; a line is cpu,host=a usage_user=12.5 1768473000000000000", syntax.Err)
		return
	}
	d.refuse(d.lineStart(), "%v", err)
}

// lineStart is where the line at hand starts. The library tells that of syntax errors only, so it is looked for, from
// where it was last known.
func (d *Decoder) lineStart() int {
	for ; d.lineItem < d.item; d.lineItem++ {
		i := d.lineAt
		switch {
		case d.lineBroken > 0: // the library goes on behind the place of the error
			i = after(d.buf, d.lineBroken, "\n")
			d.lineBroken = 0
		case d.lineItem > 0:
			i = lineEnd(d.buf, i)
		}
		for i = space(d.buf, i); i < len(d.buf) && d.buf[i] == '#'; i = space(d.buf, i) {
			i = after(d.buf, i, "\n")
		}
		d.lineAt = i
	}
	return d.lineAt
}

// lineEnd is the position behind the line at i. A text in quotes may hold line feeds; quotes before the first
// space are none.
func lineEnd(b []byte, i int) int {
	fields, quoted := false, false
	for ; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case ' ':
			fields = true
		case '"':
			quoted = fields && !quoted
		case '\n':
			if !quoted {
				return i + 1
			}
		}
	}
	return len(b)
}

// offset is the byte at a line and a column in bytes, both from 1.
func (d *Decoder) offset(line, column int) int {
	i := 0
	for range line - 1 {
		i = after(d.buf, i, "\n")
	}
	return min(i+max(column-1, 0), len(d.buf))
}

// attributes collects the tags of a line or the attributes of a data point. Names are made legal; the values of
// those that become one are joined with a semicolon in the order of their own names, as the mapping from
// OpenTelemetry to Prometheus wants it.
type attributes struct {
	pairs []pair
}

type pair struct{ own, name, value string }

func (d *Decoder) newAttributes() *attributes {
	d.attributes.pairs = d.attributes.pairs[:0]
	return &d.attributes
}

func (a *attributes) add(own, value string) error {
	switch {
	case own == alertd.LabelMetric:
		return faultf(0, "the label %s is the metric's name and cannot be set", alertd.LabelMetric)
	case own == "":
		return faultf(0, "a label has no name")
	case len(own) > MaxName:
		return faultf(0, "the name of a label has %d bytes, more than %d", len(own), MaxName)
	case len(value) > MaxText:
		return faultf(0, "the label %q has %d bytes, more than %d", short(own), len(value), MaxText)
	case slices.ContainsFunc(a.pairs, func(p pair) bool { return p.own == own }):
		return faultf(0, "the label %q comes twice", short(own))
	}
	a.pairs = append(a.pairs, pair{own: own, value: value})
	return nil
}

// set overrides what an attribute of that name says.
func (a *attributes) set(name, value string) {
	if value == "" {
		return
	}
	a.pairs = slices.DeleteFunc(a.pairs, func(p pair) bool { return p.name == name })
	a.pairs = append(a.pairs, pair{own: name, name: name, value: value})
}

// resolve makes the names legal and joins what becomes one.
func (a *attributes) resolve() {
	slices.SortFunc(a.pairs, func(x, y pair) int { return strings.Compare(x.own, y.own) })
	kept := a.pairs[:0]
	for _, p := range a.pairs {
		p.name = string(legalName(nil, []byte(p.own), false))
		if p.name == alertd.LabelMetric {
			p.name = "_" // cannot come from __name__ itself
		}
		if i := slices.IndexFunc(kept, func(q pair) bool { return q.name == p.name }); i >= 0 {
			if p.value != "" && kept[i].value != "" {
				kept[i].value += ";" + p.value
			} else {
				kept[i].value += p.value
			}
			continue
		}
		kept = append(kept, p)
	}
	clear(a.pairs[len(kept):])
	a.pairs = kept
}

// build makes the labels of a metric. The service is, in this order, that of the attributes, the given one, the
// subject's.
func (a *attributes) build(d *Decoder, name, service string) alertd.Labels {
	set := d.newSet(name)
	named := false
	for _, p := range a.pairs {
		set.add(p.name, p.value)
		named = named || p.name == alertd.LabelService && p.value != ""
	}
	if service == "" && d.kind == metric {
		service = d.token
	}
	if !named {
		set.add(alertd.LabelService, service)
	}
	return set.labels()
}

// unixAny reads a whole number of seconds, milli-, micro- or nanoseconds since 1970 as milliseconds: what fits
// between 1973 and 5138 tells which it is. Line protocol has nanoseconds unless its sender was told otherwise.
func unixAny(n int64) int64 {
	magnitude := math.Abs(float64(n))
	switch {
	case magnitude < 1e11:
		return n * 1000
	case magnitude < 1e14:
		return n
	case magnitude < 1e17:
		return n / 1000
	default:
		return n / 1_000_000
	}
}

// instantOf checks an instant in milliseconds.
func (d *Decoder) instantOf(t int64) (int64, error) {
	switch {
	case t < 0:
		return 0, faultf(0, "the timestamp is before 1970")
	case t > d.received+MaxAhead.Milliseconds():
		return 0, faultf(0, "the timestamp %s is %s ahead of its arrival; check the publisher's clock and time zone",
			milli(t).Format("2006-01-02T15:04:05.000Z"), milli(t).Sub(milli(d.received)).String())
	}
	return t, nil
}

// room reports whether n more samples fit into this message.
func (d *Decoder) room(n int) bool {
	return len(d.out.Samples)-d.first+n <= MaxEvents
}

func (d *Decoder) tooMany(at int) {
	d.full = true
	d.refuseMessage(at, "the message holds more than %d samples, the rest is not read; send smaller batches", MaxEvents)
}
