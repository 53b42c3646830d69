package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"alertd/app"
	"alertd/config"
	"alertd/demo"
)

// demoCmd is the daemon with a synthetic shop that publishes to it.
type demoCmd struct {
	Data       string  `placeholder:"DIR" help:"Where the streams and the history are kept. Default: a folder that is gone when the demo ends."`
	Listen     string  `default:"127.0.0.1:9093" placeholder:"HOST:PORT" help:"API and dashboard (${default})."`
	NATSListen string  `name:"nats-listen" default:"127.0.0.1:4222" placeholder:"HOST:PORT" help:"Where the embedded NATS takes events (${default})."`
	Speed      float64 `default:"1" placeholder:"N" help:"Seconds of the story per second (${default}). What waits for a time still waits for it."`
	Seed       uint64  `default:"1" placeholder:"N" help:"The same seed publishes the same values (${default})."`
}

// Run plays until ctx ends.
func (c *demoCmd) Run(ctx context.Context, std streams) (err error) {
	dir, err := os.MkdirTemp("", "alertd-demo-")
	if err != nil {
		return &failure{err: err}
	}
	defer os.RemoveAll(dir)
	files := filepath.Join(dir, "rules")
	if err := errors.Join(os.Mkdir(files, 0o755), demo.WriteRules(files, time.Now())); err != nil {
		return &failure{err: err}
	}
	data := c.Data
	if data == "" {
		data = filepath.Join(dir, "data")
	}
	a, err := app.New(ctx, app.Options{
		Config: config.Default(), Rules: os.DirFS(files), Data: data, Listen: c.Listen, NATSListen: c.NATSListen,
		Console: std.out, Version: versionText(),
		Log: slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return &failure{err: err, hint: "if an alertd is running here, end it first, or give --listen 127.0.0.1:0 --nats-listen 127.0.0.1:0"}
	}
	fmt.Fprintf(std.out, "The dashboard is at http://%s/. In a second terminal:\n  export ALERTD_URL=http://%s\n  alertd alerts\n  alertd queue\n  alertd history\nCtrl-C ends the demo.\n\n",
		a.HTTP(), a.HTTP())

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	daemon := make(chan error, 1)
	go func() {
		err := a.Run(ctx)
		cancel(err)
		daemon <- err
	}()
	err = demo.Run(ctx, demo.Options{NATSURL: a.NATS(), Speed: c.Speed, Seed: c.Seed, Out: std.out})
	cancel(err)
	err = errors.Join(err, <-daemon)
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	if err := errors.Join(err, a.Close(end)); err != nil {
		return &failure{err: fmt.Errorf("alertd demo: %w", err)}
	}
	return nil
}
