package ingest

import (
	"encoding/binary"
	"math"

	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protowire"

	"alertd"
)

// fastNumber makes the sample of a cumulative number without decoding it, where its series is in the table. The key is
// then the point's attributes as they are on the wire. It returns false where it does not know enough.
func (d *Decoder) fastNumber(w wire, m *otlpMetric, in part) (done bool, _ error) {
	if m.data == otlpSum && m.delta() {
		return false, nil
	}
	key := append(d.pointKey[:0], 'w')
	key = append(key, m.head...)
	var n quickNumber
	if w.json {
		key[0] = 'j'
		n.json(d, in.raw, &key)
	} else {
		n.protobuf(w, in, &key)
	}
	d.pointKey = key
	if n.odd || !n.has || len(key) > 16<<10 {
		return false, nil // the long way says what is wrong
	}
	ls, known := d.table.get(key)
	if !known {
		var pb metricspb.NumberDataPoint
		if err := w.unmarshal(in.raw, &pb); err != nil {
			return false, err
		}
		own := string(key)
		p, err := d.newPoint(m, pb.Attributes, pb.TimeUnixNano, 0)
		if err != nil {
			return false, err
		}
		if ls, err = p.series(d, "", "", 0); err != nil {
			return false, err
		}
		d.table.put([]byte(own), ls)
	}
	t, err := d.otlpTime(n.nanos)
	if err != nil {
		return false, err
	}
	if !d.room(1) {
		return false, errNoRoom
	}
	m.resource.latest = max(m.resource.latest, t)
	d.out.Samples = append(d.out.Samples, alertd.Sample{Labels: ls, T: t, V: n.v, Trace: d.trace})
	return true, nil
}

// quickNumber is what fastNumber reads of a point. odd is set where there is more to it: exemplars, flags, another spelling.
type quickNumber struct {
	nanos    uint64
	v        float64
	has, odd bool
}

func (n *quickNumber) protobuf(w wire, in part, key *[]byte) {
	err := w.each(in.raw, in.at, nil, func(p part) {
		switch {
		case p.field == 7 && p.typ == protowire.BytesType:
			*key = binary.AppendUvarint(*key, uint64(len(p.raw)))
			*key = append(*key, p.raw...)
		case p.field == 3 && p.typ == protowire.Fixed64Type:
			n.nanos = p.n
		case p.field == 4 && p.typ == protowire.Fixed64Type:
			n.v, n.has = math.Float64frombits(p.n), true
		case p.field == 6 && p.typ == protowire.Fixed64Type:
			n.v, n.has = float64(int64(p.n)), true
		case p.field == 2 && p.typ == protowire.Fixed64Type:
		case p.field == 8 && p.typ == protowire.VarintType && p.n == 0:
		default:
			n.odd = true
		}
	})
	n.odd = n.odd || err != nil
}

func (n *quickNumber) json(d *Decoder, raw []byte, key *[]byte) {
	if raw[0] != '{' {
		n.odd = true
		return
	}
	saw := 0
	d.inner = members(d.inner[:0], raw, 0)
	for _, m := range d.inner {
		bit, ok := 0, true
		switch m.key {
		case "attributes":
			bit = 1
			*key = append(*key, m.raw...)
		case "timeUnixNano":
			bit = 2
			n.nanos, ok = wholeNumber(m.raw)
		case "startTimeUnixNano":
			bit = 4
			_, ok = wholeNumber(m.raw)
		case "asInt":
			bit = 8
			var u uint64
			u, ok = wholeNumber(m.raw)
			n.v, n.has, ok = float64(int64(u)), true, ok && u <= math.MaxInt64
		case "asDouble":
			bit = 8
			var end int
			n.v, end, ok = number(m.raw, 0)
			n.has, ok = true, ok && end == len(m.raw)
		default:
			ok = false
		}
		n.odd = n.odd || !ok || saw&bit != 0
		saw |= bit
	}
}

// wholeNumber reads a number without a sign, in quotes or not.
func wholeNumber(raw []byte) (uint64, bool) {
	if len(raw) > 2 && raw[0] == '"' {
		raw = raw[1 : len(raw)-1]
	}
	if len(raw) == 0 || len(raw) > 19 || raw[0] == '0' && len(raw) > 1 { // 19 digits always fit
		return 0, false
	}
	n := uint64(0)
	for _, c := range raw {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}
