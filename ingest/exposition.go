package ingest

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// exposition reads what a target of Prometheus exposes: the text format, or OpenMetrics where open is true. Each line
// stands for itself, so that a bad one costs the others nothing. It is not Prometheus's own parser because that one
// ends at the first mistake and does not say where it is; and most series come again and again with the same text,
// which the table then knows.
func (d *Decoder) exposition(open bool) {
	b := d.buf
	i, ended := 0, false
	if bytes.HasPrefix(b, byteOrderMark) {
		i = len(byteOrderMark)
	}
	d.family = 'o'
	for i < len(b) && !d.full {
		start := i
		i = after(b, i, "\n")
		line := bytes.Trim(b[start:i], " \t\r\n")
		at := start + bytes.Index(b[start:i], line)
		switch {
		case len(line) == 0:
		case ended:
			d.refuseMessage(at, "nothing may follow # EOF")
			return
		case line[0] == '#':
			if ended = d.comment(line) && open; !ended {
				d.about(string(line[1:min(len(line), MaxName+maxHelp+64)]))
			}
		case !d.next(at):
			return
		default:
			if err := d.series(line, at, open); err != nil {
				d.refuse(err.at, "%s", err.msg)
			}
		}
	}
	switch {
	case d.full:
	case open && !ended:
		d.refuseMessage(len(b), "OpenMetrics ends with # EOF and this message does not; was it cut?")
	case len(bytes.TrimSpace(b)) == 0:
		d.refuse(0, "the message is empty; send lines like http_requests_total{code=\"500\"} 17")
	}
}

// comment keeps the type of the metric that follows, which decides how its limits are written. It returns true for
// the end.
func (d *Decoder) comment(line []byte) (eof bool) {
	words := strings.Fields(string(line[:min(len(line), MaxName+64)]))
	switch {
	case words[0] != "#":
	case len(words) == 2 && words[1] == "EOF":
		return true
	case len(words) >= 4 && words[1] == "TYPE" && (len(words) == 4 || quoted(strings.Join(words[2:len(words)-1], " "))): // # TYPE "a name" summary
		switch words[len(words)-1] {
		case "histogram":
			d.family = 'h'
		case "summary":
			d.family = 's'
		default:
			d.family = 'o'
		}
	}
	return false
}

// quoted reports whether a name is in quotes on both sides.
func quoted(name string) bool { return len(name) > 1 && name[0] == '"' && name[len(name)-1] == '"' }

// series reads one line: name{labels} value [timestamp] [# {exemplar} value [timestamp]].
func (d *Decoder) series(line []byte, at int, open bool) *fault {
	i := 0
	for i < len(line) && line[i] != '{' && line[i] != ' ' && line[i] != '\t' {
		i++
	}
	end := i
	brace := blank(line, i)
	if brace < len(line) && line[brace] == '{' {
		var ok bool
		if _, end, ok = braces(line, brace); !ok {
			return faultf(at+brace, "the labels have no end; was the line cut?")
		}
	}

	key := append(d.key[:0], 'p', d.family)
	key = append(key, line[:end]...)
	key = append(key, 0xff)
	if d.kind == metric {
		key = append(key, d.token...)
	}
	d.key = key
	ls, known := d.table.get(key)
	if !known {
		var err *fault
		if ls, err = d.seriesLabels(line[:end], brace, at); err != nil {
			return err
		}
	}

	word, i := token(line, end)
	if len(word) == 0 {
		return faultf(at+end, "the line has no value; write it like http_requests_total{code=\"500\"} 17")
	}
	v, ok := parseFloat(word)
	if !ok {
		return faultf(at+i-len(word), "the value %s is not a number", excerpt(word))
	}
	t, trace := d.received, d.trace
	if word, next := token(line, i); len(word) > 0 && word[0] != '#' {
		ms, ok := parseStamp(word, open)
		if !ok {
			return faultf(at+next-len(word), "the timestamp %s is not a number of %s since 1970", excerpt(word), unitOf(open))
		}
		var err error
		if t, err = d.instantOf(ms); err != nil {
			return faultf(at+next-len(word), "%v", err)
		}
		i = next
	}
	if i = blank(line, i); i < len(line) {
		if line[i] != '#' {
			return faultf(at+i, "%s after the timestamp is too much", excerpt(line[i:]))
		}
		ref, err := d.exemplar(line, i, at)
		if err != nil {
			return err
		}
		if !ref.IsZero() {
			trace = ref
		}
	}
	if !known {
		d.table.put(d.key, ls)
	}
	d.out.Samples = append(d.out.Samples, alertd.Sample{Labels: ls, T: t, V: v, Trace: trace})
	return nil
}

func unitOf(open bool) string {
	if open {
		return "seconds"
	}
	return "milliseconds"
}

// seriesLabels reads a name and labels; the brace, if any, is at i.
func (d *Decoder) seriesLabels(series []byte, brace, at int) (alertd.Labels, *fault) {
	name := string(bytes.TrimRight(series[:min(brace, len(series))], " \t"))
	set := d.newSet("")
	if brace < len(series) {
		var pairs []pair
		var err *fault
		if pairs, err = labelPairs(series, brace, at); err != nil {
			return alertd.Labels{}, err
		}
		if len(pairs) > MaxLabels+1 {
			return alertd.Labels{}, faultf(at+brace, "the line has %d labels, more than %d", len(pairs), MaxLabels)
		}
		for n, p := range pairs {
			switch {
			case p.name == "" && (n > 0 || name != ""): // {"a.name", …}
				return alertd.Labels{}, faultf(at+brace, "the label %q has no value", short(p.value))
			case p.name == "":
				name = p.value
				continue
			case p.name == alertd.LabelMetric:
				return alertd.Labels{}, faultf(at+brace, "the label %s is the metric's name; write it before the brace", alertd.LabelMetric)
			case len(p.name) > MaxName:
				return alertd.Labels{}, faultf(at+brace, "the name of a label has %d bytes, more than %d", len(p.name), MaxName)
			case len(p.value) > MaxText:
				return alertd.Labels{}, faultf(at+brace, "the label %q has %d bytes, more than %d", short(p.name), len(p.value), MaxText)
			case slices.ContainsFunc(pairs[:n], func(o pair) bool { return o.name == p.name }):
				return alertd.Labels{}, faultf(at+brace, "the label %q comes twice", short(p.name))
			}
			if p.value != "" {
				set.names = append(set.names, p.name)
			}
			set.add(p.name, d.limit(p.name, p.value))
		}
	}
	switch {
	case name == "":
		return alertd.Labels{}, faultf(at, "the line has no name; write it like http_requests_total{code=\"500\"} 17")
	case len(name) > MaxName:
		return alertd.Labels{}, faultf(at, "the name has %d bytes, more than %d", len(name), MaxName)
	}
	for i := range len(name) {
		if brace >= len(series) && !isNameByte(name[i], i) || brace < len(series) && series[0] != '{' && !isNameByte(name[i], i) {
			return alertd.Labels{}, faultf(at+i, "%q cannot be in a metric's name; write the line like http_requests_total{code=\"500\"} 17", name[i:i+1])
		}
	}
	set.add(alertd.LabelMetric, name)
	if !set.has(alertd.LabelService) && d.kind == metric {
		set.add(alertd.LabelService, d.token)
	}
	return set.labels(), nil
}

// limit writes the limits of buckets and quantiles as Prometheus does, so that le="1" and le="1.0" are one series.
func (d *Decoder) limit(name, value string) string {
	if !(d.family == 'h' && name == "le" || d.family == 's' && name == "quantile") {
		return value
	}
	f, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return value
	}
	return labels.FormatOpenMetricsFloat(f)
}

// exemplar reads the trace that the exemplar at i names.
func (d *Decoder) exemplar(line []byte, i, at int) (ref alertd.TraceRef, err *fault) {
	i = blank(line, i+1)
	if i >= len(line) || line[i] != '{' {
		return ref, faultf(at+i, "an exemplar is # {trace_id=\"…\"} 0.5")
	}
	_, end, ok := braces(line, i)
	if !ok {
		return ref, faultf(at+i, "the labels of the exemplar have no end; was the line cut?")
	}
	pairs, err := labelPairs(line[:end], i, at)
	if err != nil {
		return ref, err
	}
	word, next := token(line, end)
	v, ok := parseFloat(word)
	if !ok {
		return ref, faultf(at+end, "the exemplar has no value")
	}
	if word, next = token(line, next); len(word) > 0 {
		if _, ok := parseStamp(word, true); !ok {
			return ref, faultf(at+next-len(word), "the timestamp %s of the exemplar is not a number of seconds since 1970", excerpt(word))
		}
	}
	if next = blank(line, next); next < len(line) {
		return ref, faultf(at+next, "%s after the exemplar is too much", excerpt(line[next:]))
	}
	var traceID, spanID string
	failed := false
	for _, p := range pairs {
		switch strings.ToLower(strings.ReplaceAll(p.name, "_", "")) {
		case "traceid":
			traceID = p.value
		case "spanid":
			spanID = p.value
		}
		failed = failed || alertd.SaysFailed(p.name, p.value)
	}
	return measured(d.traceFrom(traceID, spanID), v, failed), nil
}

// measured adds to the trace of an exemplar what the exemplar says besides.
func measured(ref alertd.TraceRef, v float64, failed bool) alertd.TraceRef {
	if ref.IsZero() {
		return ref
	}
	if !math.IsNaN(v) && !math.IsInf(v, 0) {
		ref.Value = alertd.Value(v)
	}
	ref.Failed = failed
	return ref
}

// labelPairs reads the labels between the brace at i and the end of b, which is the brace that closes. A quoted
// text alone, the metric's name, has an empty name.
func labelPairs(b []byte, i, at int) (pairs []pair, err *fault) {
	for i = blank(b, i+1); b[i] != '}'; {
		var p pair
		quoted := b[i] == '"'
		if quoted {
			if p.name, i, err = quotedText(b, i, at); err != nil {
				return nil, err
			}
		} else {
			start := i
			for i < len(b)-1 && isNameByte(b[i], i-start) && b[i] != ':' {
				i++
			}
			if p.name = string(b[start:i]); p.name == "" {
				return nil, faultf(at+i, "expected a label like code=\"500\", found %s", excerpt(b[i:]))
			}
		}
		switch i = blank(b, i); {
		case b[i] == '=':
			if i = blank(b, i+1); b[i] != '"' {
				return nil, faultf(at+i, "the value of the label %q is not in quotes", short(p.name))
			}
			if p.name == "" {
				return nil, faultf(at+i, "a label has no name")
			}
			if p.value, i, err = quotedText(b, i, at); err != nil {
				return nil, err
			}
		case quoted:
			p.name, p.value = "", p.name
		default:
			return nil, faultf(at+i, "the label %q has no value", short(p.name))
		}
		if pairs = append(pairs, p); len(pairs) > 2*MaxLabels { // enough to say that they are too many
			return pairs, nil
		}
		i = blank(b, i)
		if b[i] == ',' {
			i = blank(b, i+1)
		} else if b[i] != '}' {
			return nil, faultf(at+i, "expected a comma or } after a label, found %s", excerpt(b[i:]))
		}
	}
	if i != len(b)-1 {
		return nil, faultf(at+i, "a brace that is not in quotes ends the labels")
	}
	return pairs, nil
}

// quotedText reads the text in quotes at i.
func quotedText(b []byte, i, at int) (string, int, *fault) {
	end := text(b, i)
	if end > len(b) || end-1 <= i || b[end-1] != '"' {
		return "", 0, faultf(at+i, "a text has no closing quote")
	}
	inside := b[i+1 : end-1]
	if !slices.Contains(inside, '\\') {
		return string(inside), end, nil
	}
	return unescape.Replace(string(inside)), end, nil
}

var unescape = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")

// blank skips spaces and tabs.
func blank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	return i
}

// token is the next word of the line and where it ends.
func token(b []byte, i int) (word []byte, end int) {
	start := blank(b, i)
	end = start
	for end < len(b) && b[end] != ' ' && b[end] != '\t' {
		end++
	}
	return b[start:end], end
}

// parseFloat reads a number as Prometheus does: decimal, NaN or Inf.
func parseFloat(b []byte) (float64, bool) {
	if v, end, ok := number(b, 0); ok && end == len(b) {
		return v, true
	}
	if len(b) > 100 || bytes.ContainsAny(b, "pP_xX") {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(b), 64)
	return v, err == nil
}

// parseStamp reads milliseconds, or seconds with a fraction.
func parseStamp(b []byte, seconds bool) (ms int64, ok bool) {
	if !seconds {
		if len(b) > 20 {
			return 0, false
		}
		ms, err := strconv.ParseInt(string(b), 10, 64)
		return ms, err == nil
	}
	v, ok := parseFloat(b)
	if !ok || math.IsNaN(v) || math.Abs(v) > 1e13 {
		return 0, false
	}
	return int64(math.Round(v * 1000)), true
}
