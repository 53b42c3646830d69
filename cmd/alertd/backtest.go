package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"alertd"
	"alertd/config"
	"alertd/ingest"
	"alertd/natsbus"
	"alertd/notifier/console"
	"alertd/rehearse"
)

type backtestCmd struct {
	natsFlags
	Since   string `help:"Begin then: an age (7d) or a time (RFC 3339). Default: where the events begin." placeholder:"WHEN"`
	Until   string `help:"End then. Default: with the last event." placeholder:"WHEN"`
	Against string `help:"Folder with the rules of today: say only what differs from them." placeholder:"DIR"`
	Events  string `help:"Read events from this file, one JSON object a line, instead of from NATS; - is stdin." placeholder:"FILE"`
	Output  string `short:"o" enum:"table,json" default:"table" help:"How to say it: table or json." placeholder:"FORMAT"`
	Rules   string `arg:"" help:"Folder with the candidate rules and routing.yaml."`
}

// replay feeds events to one or two backtests, which begin with the first event that counts.
type replay struct {
	policies []*config.Policy
	since    time.Time // zero: with the first event
	until    time.Time // zero: with the last event
	decoder  *ingest.Decoder
	events   alertd.Events
	tests    []*rehearse.Backtest
	warmed   time.Time // from where the windows are filled; zero: not known yet
	last     time.Time
	bad      int // events that could not be read
	meter    *meter
}

// errEnough ends the reading of events.
var errEnough = errors.New("that was all")

// Run replays events and prints what would have been told.
func (c *backtestCmd) Run(ctx context.Context, std streams) error {
	now := time.Now()
	r := &replay{decoder: ingest.NewDecoder(), meter: &meter{to: std.err, on: console.IsTerminal(std.err)}}
	for _, at := range []struct {
		flag, value string
		to          *time.Time
	}{{"since", c.Since, &r.since}, {"until", c.Until, &r.until}} {
		if at.value == "" {
			continue
		}
		t, err := instant(at.value, now)
		if err != nil {
			return &usageError{msg: fmt.Sprintf("--%s=%q: %v", at.flag, at.value, err), hint: "--" + at.flag + " 7d, or --" + at.flag + " " + now.UTC().Format(time.RFC3339)}
		}
		*at.to = t.UTC()
	}
	if !r.since.IsZero() && !r.until.IsZero() && !r.since.Before(r.until) {
		return &usageError{msg: "--since is not before --until", hint: "alertd backtest --since 7d --until 1d " + c.Rules}
	}
	dirs := []string{c.Rules}
	if c.Against != "" {
		dirs = append(dirs, c.Against)
	}
	for _, dir := range dirs {
		p, err := config.Load(os.DirFS(dir), standInEnv, standInFile)
		if err != nil {
			return &failure{err: fmt.Errorf("%s: %w", dir, err), hint: "alertd check --rules " + dir}
		}
		r.policies = append(r.policies, p)
	}
	r.decoder.SetComponents(r.policies[0].Health.Components)
	var err error
	if c.Events != "" {
		err = c.fromFile(ctx, std, r)
	} else {
		err = c.fromNATS(ctx, std, r)
	}
	r.meter.clear()
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return c.report(std, r)
}

// fromFile reads lines as `alertd publish -f` does. A line arrives at its own time, but not before the line ahead of it.
func (c *backtestCmd) fromFile(ctx context.Context, std streams, r *replay) error {
	in, name := std.in, "stdin"
	if c.Events != "-" {
		f, err := os.Open(c.Events)
		if err != nil {
			return &failure{err: err, hint: "alertd backtest --events FILE, or - for stdin"}
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil {
			r.meter.total = float64(info.Size())
		}
		in, name = f, c.Events
	}
	scan := bufio.NewScanner(in)
	scan.Buffer(make([]byte, 0, 64<<10), lineLimit)
	line := 0
	for scan.Scan() {
		line++
		if line%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.meter.done += float64(len(scan.Bytes()) + 1)
		body := bytes.TrimSpace(scan.Bytes())
		if len(body) == 0 {
			continue
		}
		subject, err := subjectOf(body)
		if err != nil {
			return &failure{
				err:  fmt.Errorf("%s:%d:%w", name, line, err),
				hint: `a line is {"name":…,"value":…,"time":…}, {"service":…,"status":…} or {"type":…}`,
			}
		}
		if err := r.decode(subject, nil, undated, body); err != nil {
			return &failure{err: fmt.Errorf("%s:%d: %w", name, line, err), hint: "correct the line, or remove it"}
		}
		at, ok := r.arrival()
		if !ok {
			return &failure{err: fmt.Errorf("%s:%d: the event does not say when it was", name, line), hint: `add "time":"2026-01-15T10:30:00Z"`}
		}
		if err := r.take(at, uint64(line)); err != nil {
			return err
		}
	}
	if err := scan.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return &failure{err: fmt.Errorf("%s:%d:1: line is longer than %d bytes", name, line+1, lineLimit), hint: "one event a line"}
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// undated is the instant that an event gets which does not name one: the decoder takes it for the arrival. No event is
// ahead of it.
var undated = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// arrival is when a line of a file arrives, which is also the time of an event that has none. It is false where nothing
// says when that is.
func (r *replay) arrival() (time.Time, bool) {
	at := r.last
	for i := range r.events.Samples {
		if t := r.events.Samples[i].Time(); !t.Equal(undated) {
			at = alertd.Later(at, t)
		}
	}
	for i := range r.events.Occurrences {
		if t := r.events.Occurrences[i].Time; !t.Equal(undated) {
			at = alertd.Later(at, t)
		}
	}
	for i := range r.events.Samples {
		if s := &r.events.Samples[i]; s.Time().Equal(undated) {
			s.T = at.UnixMilli()
		}
	}
	for i := range r.events.Occurrences {
		if o := &r.events.Occurrences[i]; o.Time.Equal(undated) {
			o.Time = at
		}
	}
	return at, !at.IsZero()
}

// fromNATS reads the stream up to what is its end now.
func (c *backtestCmd) fromNATS(ctx context.Context, std streams, r *replay) error {
	conn, js, err := c.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	ask, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	stream, err := js.Stream(ask, natsbus.EventsStream)
	if err != nil {
		hint := "see the log of the NATS server"
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			hint = "start the daemon on that server, which makes the stream: alertd serve --nats " + c.server()
		}
		return &failure{err: fmt.Errorf("stream %s at %s: %w", natsbus.EventsStream, c.server(), err), hint: hint}
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return &failure{err: fmt.Errorf("the stream %s at %s is empty", natsbus.EventsStream, c.server()), hint: "alertd backtest --events FILE replays events from a file"}
	}
	from := ingest.Start{}
	first := state.FirstTime
	if !r.since.IsZero() {
		from.Time = r.readFrom(first)
		if first.After(r.since) {
			fmt.Fprintf(std.err, "the events begin at %s, later than --since: raise events.max_age in the daemon's configuration to keep more\n", first.UTC().Format(time.RFC3339))
			r.since = first.UTC()
		}
		if from.Time.After(state.LastTime) {
			return &failure{err: fmt.Errorf("no event since %s: the last one came at %s", from.Time.Format(time.RFC3339), state.LastTime.UTC().Format(time.RFC3339)), hint: "choose an earlier --since"}
		}
	}
	// A last message that was deleted by hand never comes: who waits for it would wait for ever.
	const patience = 15 * time.Second
	run, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watch := time.AfterFunc(patience, func() { stop(errEnough) })
	defer watch.Stop()
	gaps := uint64(0)
	o := ingest.ReadOptions{OnGap: func(from, to uint64) { gaps += to - from + 1 }}
	begun := uint64(0)
	err = ingest.Read(run, js, natsbus.EventsStream, from, o, func(batch []ingest.Message) error {
		watch.Stop()
		defer watch.Reset(patience)
		if begun == 0 {
			begun = batch[0].Seq
			r.meter.total = float64(state.LastSeq - begun + 1)
		}
		for i := range batch {
			m := &batch[i]
			if m.Seq > state.LastSeq {
				return errEnough
			}
			if err := r.decode(m.Subject, m.Header, m.Time, m.Data); err != nil {
				r.bad++ // a dead letter, as in the daemon
			}
			r.meter.done = float64(m.Seq - begun + 1)
			if err := r.take(m.Time, m.Seq); err != nil {
				return err
			}
			if m.Seq == state.LastSeq {
				return errEnough
			}
		}
		return nil
	})
	if gaps > 0 {
		r.meter.clear()
		fmt.Fprintf(std.err, "%d messages went to retention while they were read\n", gaps)
	}
	return err
}

// readFrom is where the events begin that the rules read, of those since oldest.
func (r *replay) readFrom(oldest time.Time) time.Time {
	from := r.since
	for _, p := range r.policies {
		if at := p.Rules.ReadFrom(r.since, oldest); at.Before(from) {
			from = at
		}
	}
	return from
}

// decode reads one message. What is good of it counts, also where the error says that something is not.
func (r *replay) decode(subject string, header map[string][]string, received time.Time, body []byte) error {
	r.events.Samples, r.events.Occurrences = r.events.Samples[:0], r.events.Occurrences[:0]
	if problems := r.decoder.Decode(subject, header, received, body, &r.events); len(problems) > 0 {
		return errors.New(problems[0].String())
	}
	return nil
}

// take gives the events of one message to the backtests.
func (r *replay) take(at time.Time, seq uint64) error {
	if !r.until.IsZero() && !at.Before(r.until) {
		return errEnough
	}
	r.last = at
	r.meter.tick()
	if at.Before(r.since) {
		if r.warmed.IsZero() {
			r.warmed = r.readFrom(at)
		}
		if at.Before(r.warmed) {
			return nil
		}
		r.begin(r.since)
		for _, t := range r.tests {
			t.Warm(r.events.Samples)
		}
		return nil
	}
	r.begin(alertd.Later(r.since, at))
	for _, t := range r.tests {
		t.Take(at, seq, &r.events)
	}
	return nil
}

func (r *replay) begin(at time.Time) {
	if r.tests == nil {
		for _, p := range r.policies {
			r.tests = append(r.tests, rehearse.NewBacktest(p, at))
		}
	}
}
