package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"alertd/app"
	"alertd/config"
	"alertd/telemetry"
)

// serveCmd is the daemon.
type serveCmd struct {
	Config     string `type:"existingfile" placeholder:"FILE" help:"The daemon's own configuration (alertd.yaml)."`
	Rules      string `type:"existingdir" placeholder:"DIR" help:"Rule files, routing.yaml and health.yaml. Default: those that alertd ships."`
	Data       string `default:"data" placeholder:"DIR" help:"Where the streams and the history are kept (${default})."`
	Listen     string `default:"127.0.0.1:9093" placeholder:"HOST:PORT" help:"API and dashboard (${default})."`
	NATS       string `name:"nats" placeholder:"URL" help:"Use an existing NATS server or cluster instead of the embedded one."`
	NATSCreds  string `name:"nats-creds" type:"existingfile" placeholder:"FILE" help:"Credentials for --nats: a user's JWT and seed."`
	NATSNKey   string `name:"nats-nkey" type:"existingfile" placeholder:"FILE" help:"Seed of the nkey for --nats."`
	NATSToken  string `name:"nats-token" env:"ALERTD_NATS_TOKEN" placeholder:"TOKEN" help:"Token for --nats; better in $$ALERTD_NATS_TOKEN, where other users do not see it."`
	NATSListen string `name:"nats-listen" placeholder:"HOST:PORT" help:"Where the embedded NATS takes events (127.0.0.1:4222; with --config.file alone any free port of 127.0.0.1)."`
	OTLPListen string `name:"otlp-listen" placeholder:"HOST:PORT" help:"Take metrics over OTLP/HTTP as well, for instance at 127.0.0.1:4318."`

	alertmanagerFlags
}

// Run runs the daemon until ctx ends. SIGHUP reloads the files.
func (c *serveCmd) Run(ctx context.Context, std streams) error {
	if err := c.apply(c); err != nil {
		return err
	}
	if c.NATSListen == "" {
		c.NATSListen = "127.0.0.1:4222"
		if c.ConfigFile != "" && c.Rules == "" { // an Alertmanager's place: a NATS server there is somebody else's
			c.NATSListen = "127.0.0.1:0"
		}
	}
	log := c.logger(std.err)
	c.explain(log)
	o := app.Options{
		Rules: folder(c.Rules, c.ConfigFile), Data: c.Data, Listen: c.Listen, RoutePrefix: c.prefix(), NATS: c.NATS, NATSListen: c.NATSListen, OTLPListen: c.OTLPListen,
		Console: std.out, Version: versionText(), Log: log,
	}
	var err error
	if o.Config, err = c.config(); err != nil {
		return &failure{err: err, hint: "alertd check --config " + c.Config}
	}
	c.authenticate(&o.Config.NATS)
	c.configure(&o.Config)
	traces, flush, err := telemetry.Start(ctx, versionText(), log)
	if err != nil {
		return &failure{err: err}
	}
	defer flush(ctx)
	o.Traces = traces
	for {
		err := c.life(ctx, o)
		if !errors.Is(err, app.ErrJournalGone) {
			return err
		}
		log.Error("starting as if new: what was told is not known any more, and what still fires is told again", "error", err)
	}
}

// life is the daemon from its start until ctx ends or a part of it fails.
func (c *serveCmd) life(ctx context.Context, o app.Options) error {
	log := o.Log
	a, err := app.New(ctx, o)
	if interrupted(ctx, err) {
		log.Info("stopped before it was ready")
		return nil
	}
	if err != nil {
		return &failure{err: err, hint: c.hint(err)}
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	life, over := context.WithCancel(ctx)
	defer over()
	stop := context.AfterFunc(ctx, func() { log.Info("stopping", "cause", context.Cause(ctx)) })
	defer stop()
	go func() {
		for {
			select {
			case <-hup:
				_ = a.Reload(life) // it has logged what is wrong
			case <-life.Done():
				return
			}
		}
	}()
	err = a.Run(ctx)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if e := a.Close(end); err == nil {
		err = e
	}
	if err != nil {
		return &failure{err: fmt.Errorf("alertd serve: %w", err)}
	}
	log.Info("stopped")
	return nil
}

// interrupted reports whether err says only that ctx has ended.
func interrupted(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx)))
}

// hint is the next thing to type after the daemon could not be started, where the error does not say it itself.
func (c *serveCmd) hint(err error) string {
	if errors.Is(err, app.ErrFiles) && c.Rules != "" {
		return "alertd check --rules " + c.Rules
	}
	return ""
}

// authenticate lets flags go before the configuration file.
func (c *serveCmd) authenticate(n *config.NATS) {
	n.CredsFile = cmp.Or(c.NATSCreds, n.CredsFile)
	n.NKeyFile = cmp.Or(c.NATSNKey, n.NKeyFile)
	n.Token = cmp.Or(config.Secret(c.NATSToken), n.Token)
}

func (c *serveCmd) config() (config.Config, error) {
	if c.Config == "" {
		return config.Default(), nil
	}
	data, err := os.ReadFile(c.Config)
	if err != nil {
		return config.Config{}, err
	}
	return config.ParseConfig(c.Config, data, os.LookupEnv, os.ReadFile)
}
