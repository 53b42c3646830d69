package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"
)

// A load publishes samples of loadSeries series round and round.
type load struct {
	pack    int      // samples a message
	prefix  [][]byte // of each series' event, up to the value
	subject []string // of each series
	next    int
	buf     []byte
}

func newLoad(pack int) *load {
	l := &load{pack: pack}
	for i := range loadSeries {
		// The last hundred series, load_99, are read by no rule, as some always are. Neighbours belong to one service, as they do where a service publishes what it counts.
		service := fmt.Sprintf("svc-%d", i/instancesPer%servicesPer)
		l.prefix = append(l.prefix, fmt.Appendf(nil, `{"name":%q,"labels":{"service":%q,"instance":"i-%d"},"value":`,
			metricName(i/seriesPerMetric), service, i%instancesPer))
		l.subject = append(l.subject, "alertd.metrics."+service)
	}
	return l
}

// message is the next one. The bytes are good until the next call.
func (l *load) message() (subject string, body []byte) {
	at := time.Now().UnixMilli()
	l.buf = l.buf[:0]
	if l.pack > 1 {
		l.buf = append(l.buf, '[')
	}
	subject = l.subject[l.next]
	for i := range l.pack {
		if i > 0 {
			l.buf = append(l.buf, ',')
		}
		l.buf = append(l.buf, l.prefix[l.next]...)
		l.buf = strconv.AppendInt(l.buf, at%1000, 10)
		l.buf = append(l.buf, `,"time":`...)
		l.buf = strconv.AppendInt(l.buf, at, 10)
		l.buf = append(l.buf, '}')
		l.next = (l.next + 1) % loadSeries
	}
	if l.pack > 1 {
		l.buf = append(l.buf, ']')
	}
	return subject, l.buf
}

// publish sends so many samples as fast as the stream takes them.
func (l *load) publish(ctx context.Context, b *bench, samples int) error {
	for sent := 0; sent < samples; sent += l.pack {
		if err := ctx.Err(); err != nil {
			return err
		}
		subject, body := l.message()
		if err := b.publish(subject, bytes.Clone(body)); err != nil {
			return err
		}
	}
	return b.settled(ctx)
}

// flow publishes at a steady rate until ctx ends, and returns how many samples it sent.
func (l *load) flow(ctx context.Context, b *bench, perSecond int) (int, error) {
	const beat = 5 * time.Millisecond
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	began := time.Now()
	for sent := 0; ; {
		select {
		case <-ctx.Done():
			return sent, nil
		case <-ticker.C:
		}
		for due := int(time.Since(began).Seconds() * float64(perSecond)); sent < due; sent += l.pack {
			subject, body := l.message()
			if err := b.publish(subject, bytes.Clone(body)); err != nil {
				return sent, err
			}
		}
	}
}
