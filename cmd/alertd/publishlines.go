package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"alertd/natsbus"
)

type publishLinesCmd struct {
	File string `short:"f" required:"" help:"File to read; - is stdin." placeholder:"FILE"`
}

// publishWindow is how many events of a file are under way at once.
const publishWindow = 256

// lineLimit is how long one line may be: what a NATS message may hold by default.
const lineLimit = 1 << 20

// Run publishes a file. It stops at the first line that is wrong or refused, and names it.
func (c *publishLinesCmd) Run(ctx context.Context, parent *publishCmd, std streams) error {
	in, name := std.in, "stdin"
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return &failure{err: err, hint: "alertd publish -f FILE, or - for stdin"}
		}
		defer f.Close()
		in, name = f, c.File
	}
	conn, js, err := parent.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	batch := batch{js: js, parent: parent, name: name}
	err = errors.Join(batch.publish(ctx, in), batch.settle(ctx, 0))
	fmt.Fprintf(std.out, "%d events published\n", batch.acked)
	return err
}

// batch publishes lines with a bounded number under way.
type batch struct {
	js      jetstream.JetStream
	parent  *publishCmd
	name    string // of the file
	pending []pendingLine
	acked   int
}

type pendingLine struct {
	line   int
	future jetstream.PubAckFuture
}

func (b *batch) publish(ctx context.Context, in io.Reader) error {
	scan := bufio.NewScanner(in)
	scan.Buffer(make([]byte, 0, 64<<10), lineLimit)
	line := 0
	for scan.Scan() {
		line++
		body := bytes.TrimSpace(scan.Bytes())
		if len(body) == 0 {
			continue
		}
		subject, err := subjectOf(body)
		if err != nil {
			return &failure{
				err:  fmt.Errorf("%s:%d:%w", b.name, line, err),
				hint: `a line is {"name":…,"value":…}, {"service":…,"status":…} or {"type":…}`,
			}
		}
		future, err := b.js.PublishAsync(subject, bytes.Clone(body))
		if err != nil {
			return fmt.Errorf("%s:%d: %w", b.name, line, b.parent.refused(subject, err))
		}
		b.pending = append(b.pending, pendingLine{line, future})
		if err := b.settle(ctx, publishWindow/2); err != nil {
			return err
		}
	}
	if err := scan.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return &failure{err: fmt.Errorf("%s:%d:1: line is longer than %d bytes", b.name, line+1, lineLimit), hint: "one event a line"}
		}
		return fmt.Errorf("%s: %w", b.name, err)
	}
	return nil
}

// settle waits, oldest first, until at most keep events are under way.
func (b *batch) settle(ctx context.Context, keep int) error {
	for len(b.pending) > keep {
		p := b.pending[0]
		b.pending = b.pending[1:]
		select {
		case <-p.future.Ok():
			b.acked++
		case err := <-p.future.Err():
			b.pending = nil
			return fmt.Errorf("%s:%d: %w", b.name, p.line, b.parent.refused(p.future.Msg().Subject, err))
		case <-ctx.Done():
			b.pending = nil
			return &failure{err: fmt.Errorf("%s:%d: interrupted", b.name, p.line), hint: "the lines before it are in the stream"}
		}
	}
	return nil
}

// subjectOf tells the three kinds of events apart by what they hold. Its error begins with the column.
func subjectOf(body []byte) (string, error) {
	var event struct {
		Name    *string           `json:"name"`
		Value   json.RawMessage   `json:"value"`
		Type    *string           `json:"type"`
		Status  *string           `json:"status"`
		Service string            `json:"service"`
		Labels  map[string]string `json:"labels"`
	}
	if err := json.Unmarshal(body, &event); err != nil {
		column := int64(1)
		if e, ok := errors.AsType[*json.SyntaxError](err); ok {
			column = max(e.Offset, 1)
		} else if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			column = max(e.Offset, 1)
		}
		return "", fmt.Errorf("%d: %s", column, strings.TrimPrefix(err.Error(), "json: "))
	}
	var subject string
	var err error
	kinds := 0
	if event.Name != nil && event.Value != nil {
		subject = natsbus.MetricsSubject(event.Labels["service"])
		kinds++
	}
	if event.Status != nil && event.Service != "" {
		subject = natsbus.HealthSubject(event.Service)
		kinds++
	}
	if event.Type != nil {
		subject, err = eventSubject(*event.Type)
		kinds++
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("1: %w", err)
	case kinds != 1:
		return "", fmt.Errorf("1: this is not one metric, health or occurrence event")
	}
	return subject, nil
}

// eventSubject refuses a type whose tokens would be made up.
func eventSubject(kind string) (string, error) {
	if slices.Contains(strings.Split(kind, "."), "") {
		return "", fmt.Errorf("type %q is not words with dots between them", kind)
	}
	return natsbus.EventsSubject(kind), nil
}
