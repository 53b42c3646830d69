package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options say where the shop stands.
type Options struct {
	NATSURL string    // a server whose stream takes alertd.>, as a running alertd makes it
	Speed   float64   // story seconds per second; 0 means 1
	Seed    uint64    // two runs with the same seed publish the same values
	Out     io.Writer // gets a line for each turn of the story; nil: nobody reads it
}

// publishTimeout is how long the stream may take to confirm one message.
const publishTimeout = 10 * time.Second

// Run keeps the shop open until ctx ends, which is not an error. It publishes once a second of the story and waits
// until the stream has each message. It runs in the caller's goroutine.
func Run(ctx context.Context, o Options) error {
	if o.Speed == 0 {
		o.Speed = 1
	}
	if o.Speed < 0 {
		return fmt.Errorf("demo: speed %g is negative: use 1, or 10 to see it ten times as fast", o.Speed)
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	conn, err := nats.Connect(o.NATSURL, nats.Name("alertd demo"), nats.MaxReconnects(-1))
	if err != nil {
		return fmt.Errorf("demo: NATS: %w", err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return fmt.Errorf("demo: JetStream: %w", err)
	}

	second := max(time.Duration(float64(time.Second)/o.Speed), time.Millisecond)
	ticker := time.NewTicker(second)
	defer ticker.Stop()
	shop := newShop(o.Seed)
	for {
		lines, messages := shop.second(time.Now().UTC())
		for _, line := range lines {
			fmt.Fprintln(o.Out, line)
		}
		for _, m := range messages {
			if err := publish(ctx, js, m); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// publish returns when the stream has the message: the shop must not lose the one event that a page hangs on.
func publish(ctx context.Context, js jetstream.JetStream, m message) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	_, err := js.Publish(ctx, m.subject, m.body)
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("demo: no stream takes %s: start alertd on this server first", m.subject)
	case err != nil:
		return fmt.Errorf("demo: publish %s: %w", m.subject, err)
	}
	return nil
}
