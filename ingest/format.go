package ingest

import (
	"bytes"
	"mime"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// format is how a message is written.
type format int

const (
	formatJSON   format = iota // our own events, CloudEvents with their envelope, OTLP in JSON, fluent-bit
	formatLine                 // Influx line protocol
	formatText                 // Prometheus text format
	formatOpen                 // OpenMetrics
	formatOTLP                 // OTLP metrics in protobuf
	formatBinary               // a CloudEvent whose envelope is in the headers
	formatOther                // known, and not read here; the reason is told
)

// meta is what the headers of a message say about its body.
type meta struct {
	contentType string
	encoding    string
	cloud       string // ce-specversion
}

// metaOf reads the headers without regard to case. Where a name is there in two spellings the greater value
// counts, so that the order of a map decides nothing.
func metaOf(header map[string][]string) (m meta) {
	for name, values := range header {
		if len(values) == 0 {
			continue
		}
		switch {
		case len(name) == len("Content-Type") && strings.EqualFold(name, "Content-Type"):
			m.contentType = max(m.contentType, values[0])
		case len(name) == len("Content-Encoding") && strings.EqualFold(name, "Content-Encoding"):
			m.encoding = max(m.encoding, strings.ToLower(strings.TrimSpace(values[0])))
		case len(name) == len(ceVersion) && strings.EqualFold(name, ceVersion):
			m.cloud = max(m.cloud, values[0])
		}
	}
	return m
}

// formatOf says how the message at hand is written: the headers know best, then its first bytes. why is set where
// the format is known and not read.
func (d *Decoder) formatOf(m meta) (f format, why string) {
	media, params := mediaType(m.contentType)
	d.envelope = media == "application/cloudevents+json" || media == "application/cloudevents-batch+json"
	switch {
	case d.envelope:
		return formatJSON, ""
	case m.cloud != "":
		return formatBinary, ""
	}
	switch media {
	case "application/json", "application/x-ndjson", "application/ndjson", "application/jsonl":
		return formatJSON, ""
	case "application/openmetrics-text":
		return formatOpen, ""
	case "application/x-protobuf", "application/protobuf", "application/vnd.google.protobuf":
		if proto := params["proto"]; proto != "" && !strings.HasPrefix(proto, "opentelemetry.") {
			return formatOther, "messages of type " + short(proto) + " are not read; of protobuf only OTLP metrics are"
		}
		return formatOTLP, ""
	case "text/plain":
		if strings.HasPrefix(params["version"], "0.0.") || strings.HasPrefix(params["version"], "1.") {
			return formatText, ""
		}
	}
	return shapeOf(d.buf), ""
}

func mediaType(contentType string) (media string, params map[string]string) {
	switch contentType { // the usual ones, without work
	case "":
		return "", nil
	case "application/json":
		return contentType, nil
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		media, _, _ = strings.Cut(contentType, ";")
		media = strings.ToLower(strings.TrimSpace(media))
	}
	return media, params
}

// shapeOf tells the formats apart by how they begin. What looks like none of them is JSON, whose messages say what
// an event looks like.
func shapeOf(b []byte) format {
	if len(b) > 0 && (b[0] == '{' || b[0] == '[') {
		return formatJSON
	}
	if looksLikeOTLP(b) {
		return formatOTLP
	}
	b = bytes.TrimPrefix(b, byteOrderMark)
	for len(b) > 0 {
		var line []byte
		line, b, _ = bytes.Cut(b, newline)
		line = bytes.TrimLeft(line, " \t\r")
		switch {
		case len(line) == 0:
		case bytes.HasPrefix(line, []byte("# HELP ")), bytes.HasPrefix(line, []byte("# TYPE ")), bytes.HasPrefix(line, []byte("# UNIT ")), bytes.HasPrefix(line, []byte("# EOF")):
			return textOrOpen(line, b)
		case line[0] == '#': // a comment in both
		case looksLikeLine(line):
			return formatLine
		case looksLikeText(line):
			return textOrOpen(line, b)
		default:
			return formatJSON
		}
	}
	return formatJSON
}

var (
	newline       = []byte{'\n'}
	byteOrderMark = []byte("\ufeff") // some Windows publishers cannot help it
)

func textOrOpen(line, rest []byte) format {
	if bytes.HasSuffix(bytes.TrimRight(rest, "\n"), []byte("# EOF")) || bytes.Equal(line, []byte("# EOF")) {
		return formatOpen
	}
	return formatText
}

// looksLikeLine reports whether a line is a measurement with its tags, a space, and a field=value.
func looksLikeLine(line []byte) bool {
	i := 0
	for i < len(line) && line[i] != ' ' {
		if line[i] == '\\' {
			i++
		}
		i++
	}
	if i == 0 || i >= len(line) {
		return false
	}
	for i < len(line) && line[i] == ' ' {
		i++
	}
	start := i
	for i < len(line) {
		switch line[i] {
		case '\\':
			i++
		case '=':
			return i > start && i+1 < len(line)
		case ' ', '"', ',', '{':
			return false
		}
		i++
	}
	return false
}

// looksLikeText reports whether a line is a metric's name, its labels if any, and a number.
func looksLikeText(line []byte) bool {
	i := 0
	for i < len(line) && isNameByte(line[i], i) {
		i++
	}
	if i == 0 || i == len(line) {
		return false
	}
	rest := bytes.TrimLeft(line[i:], " \t")
	if len(rest) > 0 && rest[0] == '{' {
		_, end, ok := braces(rest, 0)
		if !ok {
			return true // of nothing else; what is wrong with it is said there
		}
		rest = bytes.TrimLeft(rest[end:], " \t")
	} else if len(rest) == len(line[i:]) {
		return false // nothing between the name and what follows
	}
	value, _, _ := bytes.Cut(rest, []byte{' '})
	_, ok := parseFloat(bytes.TrimRight(value, "\r\t"))
	return ok
}

func isNameByte(c byte, i int) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == ':' || i > 0 && isDigit(c)
}

// looksLikeOTLP reports whether b is made of nothing but the field resource_metrics (1), and each of those of
// the fields that a ResourceMetrics has. The first byte is also a line feed; no text goes on like this.
func looksLikeOTLP(b []byte) bool {
	if len(b) < 2 || b[0] != 0x0a {
		return false
	}
	for len(b) > 0 {
		if b[0] != 0x0a {
			return false
		}
		inner, n := protowire.ConsumeBytes(b[1:])
		if n < 0 {
			return false
		}
		b = b[1+n:]
		for len(inner) > 0 {
			if inner[0] != 0x0a && inner[0] != 0x12 && inner[0] != 0x1a { // resource, scope_metrics, schema_url
				return false
			}
			_, n := protowire.ConsumeBytes(inner[1:])
			if n < 0 {
				return false
			}
			inner = inner[1+n:]
		}
	}
	return true
}

// checkText refuses what is not UTF-8.
func (d *Decoder) checkText() bool {
	if utf8.Valid(d.buf) {
		return true
	}
	d.refuse(invalidUTF8(d.buf), "the message is not UTF-8")
	return false
}

// legalName makes a name that PromQL takes without quotes, as Telegraf's and OpenTelemetry's exporters for
// Prometheus do: what is not allowed becomes an underscore.
func legalName(to []byte, name []byte, colons bool) []byte {
	if len(name) > 0 && isDigit(name[0]) && len(to) == 0 {
		to = append(to, '_')
	}
	for i := 0; i < len(name); {
		c := name[i]
		switch {
		case isNameByte(c, 1) && (colons || c != ':'):
			to = append(to, c)
			i++
		case c < utf8.RuneSelf:
			to = append(to, '_')
			i++
		default:
			_, n := utf8.DecodeRune(name[i:])
			to = append(to, '_')
			i += n
		}
	}
	return to
}
