package ingest

import (
	"strings"

	"alertd"
)

const (
	maxDescribed = 10_000 // metrics of which it is remembered what was said of them
	maxHelp      = 1 << 10
)

// describe notes what a message says of a metric, and hands it on if that is new.
func (d *Decoder) describe(metric string, say func(*alertd.Metadata)) {
	m, known := d.described[metric]
	if metric == "" || len(metric) > MaxName || !known && len(d.described) >= maxDescribed {
		return
	}
	was := m
	m.Metric = metric
	say(&m)
	if m == was {
		return
	}
	if d.described == nil {
		d.described = map[string]alertd.Metadata{}
	}
	d.described[metric] = m
	d.out.Metadata = append(d.out.Metadata, m)
}

// about reads what follows the #: HELP, TYPE or UNIT, a metric, and what is said of it.
func (d *Decoder) about(comment string) {
	word, rest, _ := strings.Cut(strings.TrimLeft(comment, " \t"), " ")
	rest = strings.TrimLeft(rest, " \t")
	name, said, _ := strings.Cut(rest, " ")
	if strings.HasPrefix(rest, `"`) {
		quoted, end, err := quotedText([]byte(rest), 0, 0)
		if err != nil {
			return
		}
		name, said = quoted, rest[end:]
	}
	said = strings.TrimSpace(said)
	switch word {
	case "HELP":
		d.describe(name, func(m *alertd.Metadata) { m.Help = helpText(unescape.Replace(said)) })
	case "TYPE":
		d.describe(name, func(m *alertd.Metadata) { m.Type = typeOf[said] })
	case "UNIT":
		d.describe(name, func(m *alertd.Metadata) { m.Unit = short(said) })
	}
}

// typeOf has the types by the words of both text formats.
var typeOf = map[string]string{
	"counter": "counter", "gauge": "gauge", "histogram": "histogram", "gaugehistogram": "gaugehistogram", "summary": "summary",
	"info": "info", "stateset": "stateset", "unknown": "unknown", "untyped": "unknown",
}

// helpText bounds a text that people read.
func helpText(s string) string {
	if len(s) > maxHelp {
		s = s[:maxHelp] + "…"
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// describeOTLP notes what a metric says of itself; name is how it is called here.
func (d *Decoder) describeOTLP(m *otlpMetric, name string) {
	d.describe(name, func(a *alertd.Metadata) {
		a.Help, a.Unit, a.Type = helpText(m.help()), short(m.unit), "gauge"
		switch {
		case m.data == otlpSum && m.monotonic:
			a.Type = "counter"
		case m.data == otlpHistogram, m.data == otlpExponentialHistogram:
			a.Type = "histogram"
		case m.data == otlpSummary:
			a.Type = "summary"
		}
	})
}
