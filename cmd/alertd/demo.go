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

// demoCmd is the daemon with a shop that it watches.
type demoCmd struct {
	Listen     string  `default:"127.0.0.1:9093" placeholder:"HOST:PORT" help:"API and dashboard (${default})."`
	NATSListen string  `name:"nats-listen" default:"127.0.0.1:4222" placeholder:"HOST:PORT" help:"Where the embedded NATS takes events (${default})."`
	Speed      float64 `default:"1" help:"How many times as fast the shop's story goes (${default})."`
	Seed       uint64  `default:"1" help:"Two runs with the same seed publish the same values (${default})."`
}

// Run runs both until ctx ends. What they keep is thrown away then.
func (c *demoCmd) Run(ctx context.Context, std streams) (err error) {
	dir, err := os.MkdirTemp("", "alertd-demo-")
	if err != nil {
		return &failure{err: err}
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil && e != nil {
			err = &failure{err: e}
		}
	}()
	files := filepath.Join(dir, "rules")
	if err := os.Mkdir(files, 0o700); err != nil {
		return &failure{err: err}
	}
	if err := demo.WriteRules(files, time.Now()); err != nil {
		return &failure{err: err}
	}
	a, err := app.New(ctx, app.Options{
		Config: config.Default(), Rules: os.DirFS(files), Data: filepath.Join(dir, "data"), Listen: c.Listen, NATSListen: c.NATSListen,
		Console: std.out, Version: versionText(), Log: slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return &failure{err: err}
	}
	fmt.Fprintf(std.out, "A shop of five services is open. Watch it at http://%s/ and ask with `alertd history`.\n\n", a.HTTP())
	shop, closeShop := context.WithCancel(ctx)
	story := make(chan error, 1)
	go func() {
		defer closeShop() // a story that fails ends the daemon too
		story <- demo.Run(shop, demo.Options{NATSURL: a.NATS(), Speed: c.Speed, Seed: c.Seed, Out: std.out})
	}()
	err = a.Run(shop)
	closeShop()
	err = errors.Join(err, <-story)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if e := a.Close(end); err == nil {
		err = e
	}
	if err != nil {
		return &failure{err: fmt.Errorf("alertd demo: %w", err)}
	}
	return nil
}
