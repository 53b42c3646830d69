package ingest

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"alertd"
	"alertd/tracectx"
)

// Bounds of what one message may hold. They are far above what a sensible publisher sends, and keep one that
// is not sensible from taking the daemon's memory.
const (
	MaxPayload  = 8 << 20          // bytes of a message
	MaxEvents   = 100_000          // events in a message
	MaxLabels   = 64               // labels of an event
	MaxChecks   = 256              // checks of a health event
	MaxName     = 1 << 10          // bytes of the name of a metric, label, check, type or service
	MaxText     = 4 << 10          // bytes of a label's value; a longer message of an occurrence is cut
	MaxAhead    = 30 * time.Minute // an event may be that far ahead of its arrival, clocks being what they are
	maxDepth    = 64               // nesting inside an event
	maxProblems = 100              // reported one by one for one message
	maxLost     = 64 << 20         // bytes read in search of the ends of objects that have none
)

// Problem is an event that was refused, or a part of a message that could not be read.
type Problem struct {
	Item   int    // number of the event in its message from 1; 0 for the message itself
	Offset int64  // byte of the payload at which the trouble shows
	Reason string // with the position in words: "item 3: line 1, column 17: …"
	Count  int    // refused events: 1, or more where a last problem stands for all that were not told one by one
}

// String is the reason.
func (p Problem) String() string { return p.Reason }

// Decoder decodes messages. It keeps a bounded table of label sets, so that a series that it has seen before costs
// no allocation. It belongs to one goroutine.
type Decoder struct {
	table      intern
	components Components
	strict     bool // no fast path: what the tests compare the fast path with

	// The message at hand.
	buf      []byte
	out      *alertd.Events
	kind     kind
	token    string // what the subject says after the kind: service, or type
	received int64  // milliseconds
	trace    alertd.TraceRef
	item     int
	array    bool // positions say the item
	problems []Problem
	more     int // refused beyond maxProblems
	lost     int // bytes read in vain, see maxLost
	full     bool
	first    int   // samples that were there before
	missing  int64 // the instant of events that name none
	binary   bool  // positions are bytes, not lines
	envelope bool  // every object is a CloudEvent
	inCloud  bool  // the object is the data of a CloudEvent

	// Reused between events.
	last   alertd.TraceRef // that an event named, see fastTrace
	key    []byte
	fields []field
	inner  []field
	set    labelSet

	// The formats that are not our own.
	lineItem, lineAt, lineBroken int  // see lineStart
	family                       byte // of the exposed metrics at hand: h for a histogram, s for a summary
	attributes                   attributes
	pointKey                     []byte
	counters                     counters
	seen                         seen
	inflater                     inflater
	skipped                      uint64
	described                    map[string]alertd.Metadata // see describe
}

// Skipped is how many values this decoder has passed over because they are no samples: texts among the fields of line
// protocol and of fluent-bit.
func (d *Decoder) Skipped() uint64 { return d.skipped }

// NewDecoder returns a Decoder with an empty table.
func NewDecoder() *Decoder { return &Decoder{table: newIntern()} }

type kind int

const (
	unknown kind = iota // the subject does not say
	metric
	health
	occurrence
)

// Decode reads the message that came on subject at received and appends its events to out, in the order in
// which the message holds them. It goes on after an event that it has to refuse: the good events of a message
// count. The payload is not kept.
func (d *Decoder) Decode(subject string, header map[string][]string, received time.Time, payload []byte, out *alertd.Events) (problems []Problem) {
	d.buf, d.out, d.received = payload, out, received.UnixMilli()
	if d.kind, d.token = kindOf(subject); !utf8.ValidString(d.token) || len(d.token) > MaxName || d.token == nobody {
		d.token = "" // a subject may hold any bytes, a label may not
	}
	d.trace = tracectx.FromHeader(header)
	d.item, d.array, d.problems, d.more, d.lost, d.full = 0, false, nil, 0, 0, false
	d.first, d.binary, d.inCloud, d.missing = len(out.Samples), false, false, d.received
	defer func() { d.buf, d.out, d.problems = nil, nil, nil }()

	if len(payload) > MaxPayload {
		d.refuse(0, "the message has %d bytes, more than %d; send smaller batches", len(payload), MaxPayload)
		return d.problems
	}
	if len(header) == 0 && len(payload) > 0 && (payload[0] == '{' || payload[0] == '[') { // the usual case
		d.envelope = false
		if d.checkText() {
			d.message()
		}
	} else {
		d.read(header)
	}
	if d.more > 0 {
		d.problems = append(d.problems, Problem{
			Item: d.item, Offset: int64(len(payload)), Count: d.more,
			Reason: fmt.Sprintf("%d more events of this message were refused", d.more),
		})
	}
	return d.problems
}

// read reads the message in the format and the encoding that it has.
func (d *Decoder) read(header map[string][]string) {
	m := metaOf(header)
	if m.encoding != "" {
		var ok bool
		if d.buf, ok = d.inflate(m.encoding, d.buf); !ok {
			return
		}
	}
	format, why := d.formatOf(m)
	switch format {
	case formatOTLP:
		d.binary = true
		d.otlp()
		return
	case formatOther:
		d.binary = true
		d.refuse(0, "%s", why)
		return
	case formatBinary:
		d.binaryCloudEvent(header)
		return
	}
	switch {
	case !d.checkText():
	case format == formatLine:
		d.lines()
	case format == formatText || format == formatOpen:
		d.exposition(format == formatOpen)
	default:
		d.message()
	}
}

// nobody is the subject's token where there is no service or type to name: a token cannot be empty.
const nobody = "_"

// kindOf reads a subject: what follows the kind is the service (its first token), or the type (all of it).
func kindOf(subject string) (kind, string) {
	switch {
	case strings.HasPrefix(subject, "alertd.metrics."):
		service, _, _ := strings.Cut(subject[len("alertd.metrics."):], ".")
		return metric, service
	case strings.HasPrefix(subject, "alertd.health."):
		service, _, _ := strings.Cut(subject[len("alertd.health."):], ".")
		return health, service
	case strings.HasPrefix(subject, "alertd.events."):
		return occurrence, subject[len("alertd.events."):]
	default:
		return unknown, ""
	}
}

// message walks the values of the payload: each is an event or an array of events.
func (d *Decoder) message() {
	b := d.buf
	i := 0
	if bytes.HasPrefix(b, byteOrderMark) {
		i = len(byteOrderMark)
	}
	i = space(b, i)
	if i == len(b) {
		d.refuse(0, "the message is empty; send an event as a JSON object")
		return
	}
	for i < len(b) && !d.full {
		switch b[i] {
		case '[':
			d.array = true
			i = d.list(i + 1)
			d.array = false
		case '{':
			i = d.line(i)
		default:
			if d.next(i) {
				d.refuse(i, "%s is not an event; write a JSON object (several one a line, or in [ ]), a line name{label=\"value\"} 1, or a line measurement,tag=value field=1", excerpt(b[i:]))
			}
			i = after(b, i, "\n")
		}
		i = space(b, i)
	}
}

// line reads the event at i outside of an array and returns where to go on.
func (d *Decoder) line(i int) int {
	end, good := d.event(i)
	if good || end > 0 && bytes.IndexByte(d.buf[i:end], '\n') < 0 {
		return end
	}
	// Broken JSON over several lines, or without an end: the next line that starts an object is the next event.
	if at := bytes.Index(d.buf[i:], []byte("\n{")); at >= 0 {
		return i + at + 1
	}
	return len(d.buf)
}

// list reads the rest of an array of events and returns where to go on.
func (d *Decoder) list(i int) int {
	b := d.buf
	for {
		i = space(b, i)
		if i < len(b) && b[i] == ']' {
			return i + 1
		}
		if i == len(b) {
			d.refuseMessage(i, "the array of events has no end; was the message cut?")
			return i
		}
		start := i
		if b[i] == '{' {
			end, good := d.event(i)
			if d.full {
				return len(b)
			}
			if end == 0 || !good && !follows(b, end) {
				// Not even braces and quotes are right: the next thing that looks like the next event is it.
				i = resume(b, start)
				continue
			}
			i = end
		} else {
			i = scalar(b, i)
			if !d.next(start) {
				return len(b)
			}
			if b[start] == '[' && fluentLike(b, start) {
				d.record(b[start:i], start)
			} else {
				d.refuse(start, "%s is not an event; an event is a JSON object", excerpt(b[start:i]))
			}
		}
		i = space(b, i)
		switch {
		case i < len(b) && b[i] == ',':
			i++
		case i < len(b) && b[i] != ']':
			d.refuseMessage(i, "expected a comma or ] after an event, found %s", excerpt(b[i:]))
			i = resume(b, i-1)
		}
	}
}

// event decodes the object at i. It returns the end of the object, 0 where it has none, and whether it is JSON at all.
func (d *Decoder) event(i int) (end int, good bool) {
	if !d.next(i) {
		return len(d.buf), true
	}
	var key []byte
	if !d.strict && (d.kind == metric || d.kind == unknown) {
		if end, key = d.fast(i); end > 0 {
			return end, true
		}
	}
	end, depth := extent(d.buf, i)
	raw := d.buf[i:]
	if end > 0 {
		raw = d.buf[i:end]
	} else if d.lost += len(raw); d.lost > maxLost {
		d.full = true
		d.refuseMessage(i, "too many events of this message have no end, the rest is not read")
		return len(d.buf), true
	}
	if depth > maxDepth {
		d.refuse(i, "the event is nested more than %d deep", maxDepth)
		return end, end > 0
	}
	return end, d.decode(raw, i, key)
}

// next counts an event; false when the message holds too many.
func (d *Decoder) next(i int) bool {
	if d.item == MaxEvents {
		d.full = true
		d.refuseMessage(i, "the message holds more than %d events, the rest is not read; send smaller batches", MaxEvents)
		return false
	}
	d.item++
	return true
}

// refuse reports the event at hand.
func (d *Decoder) refuse(offset int, format string, args ...any) {
	d.report(d.item, offset, format, args...)
}

// refuseMessage reports trouble that is not that of one event.
func (d *Decoder) refuseMessage(offset int, format string, args ...any) {
	d.report(0, offset, format, args...)
}

func (d *Decoder) report(item, offset int, format string, args ...any) {
	if len(d.problems) == maxProblems {
		d.more++
		return
	}
	line, column := position(d.buf, offset)
	where := fmt.Sprintf("line %d, column %d: ", line, column)
	if d.binary {
		where = fmt.Sprintf("byte %d: ", offset)
	}
	if d.array && item > 0 {
		where = fmt.Sprintf("item %d: %s", item, where)
	}
	d.problems = append(d.problems, Problem{Item: item, Offset: int64(offset), Count: 1, Reason: where + fmt.Sprintf(format, args...)})
}

// position counts lines and characters from 1, as editors do.
func position(b []byte, offset int) (line, column int) {
	b = b[:min(offset, len(b))]
	line = 1 + bytes.Count(b, []byte("\n"))
	return line, 1 + utf8.RuneCount(b[bytes.LastIndexByte(b, '\n')+1:])
}

func invalidUTF8(b []byte) int {
	i := 0
	for i < len(b) {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		i += n
	}
	return i
}

// excerpt quotes the start of something, short enough for a sentence.
func excerpt(b []byte) string {
	const limit = 40
	line, _, _ := bytes.Cut(b, []byte("\n"))
	if len(line) <= limit {
		return fmt.Sprintf("%q", line)
	}
	return fmt.Sprintf("%q…", strings.ToValidUTF8(string(line[:limit]), ""))
}

// space skips JSON white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// after is the position behind the next sep.
func after(b []byte, i int, sep string) int {
	if at := bytes.Index(b[i:], []byte(sep)); at >= 0 {
		return i + at + len(sep)
	}
	return len(b)
}

// extent finds the end of the object or array at i by its braces and strings alone, whatever else is wrong
// with it; 0 where it has none.
func extent(b []byte, i int) (end, depth int) {
	open := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = text(b, i)
			continue
		case '{', '[':
			open++
			depth = max(depth, open)
		case '}', ']':
			open--
			if open == 0 {
				return i + 1, depth
			}
		}
		i++
	}
	return 0, depth
}

// text is the position behind the string at i.
func text(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// scalar is the end of what stands at i in an array and is no object.
func scalar(b []byte, i int) int {
	if b[i] == '[' {
		if end, _ := extent(b, i); end > 0 {
			return end
		}
		return len(b)
	}
	for i < len(b) && b[i] != ',' && b[i] != ']' {
		if b[i] == '"' {
			i = text(b, i)
			continue
		}
		i++
	}
	return min(i, len(b))
}

// follows reports whether what stands at i may follow an event in an array.
func follows(b []byte, i int) bool {
	i = space(b, i)
	return i < len(b) && (b[i] == ',' || b[i] == ']')
}

// resume finds the next thing behind i that looks like the start of an event in an array: a brace after a brace and
// a comma.
func resume(b []byte, i int) int {
	for i++; i < len(b); i++ {
		if b[i] != '{' {
			continue
		}
		before := bytes.TrimRight(b[:i], " \t\r\n")
		if bytes.HasSuffix(before, []byte("}")) {
			return i
		}
		if bytes.HasSuffix(before, []byte(",")) && bytes.HasSuffix(bytes.TrimRight(before[:len(before)-1], " \t\r\n"), []byte("}")) {
			return i
		}
	}
	return len(b)
}
