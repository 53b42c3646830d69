package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"alertd/config"
	"alertd/history"
	"alertd/ingest"
	"alertd/journal"
	"alertd/natsbus"
	"alertd/nodes"
)

func (a *App) openBus(ctx context.Context) (err error) {
	c := a.o.Config.NATS
	bo := natsbus.Options{
		URL: a.o.NATS, Listen: a.o.NATSListen, StoreDir: filepath.Join(a.o.Data, "nats"), CredsFile: c.CredsFile,
		NKeyFile: c.NKeyFile, Token: c.Token.Reveal(), Name: "alertd", Log: a.log,
	}
	if bo.URL == "" {
		bo.URL = c.URL
	}
	if c.TLS != (config.TLS{}) {
		bo.TLS = &natsbus.TLS{CAFile: c.TLS.CAFile, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile}
	}
	if a.bus, err = natsbus.Open(ctx, bo); err != nil {
		return err
	}
	a.onClose("nats", a.bus.Close)
	if err := a.ensureStreams(ctx); err != nil {
		return err
	}
	if a.deadLetters, err = ingest.EnsureDeadLetters(ctx, a.bus.JetStream()); err != nil {
		return err
	}
	if a.journal, err = journal.OpenNATS(ctx, a.bus.JetStream(), a.node, a.log); err != nil {
		return err
	}
	me := nodes.Node{Name: a.node, Address: a.listener.Addr().String()}
	if a.nodes, err = nodes.Join(a.bus.Conn(), nodes.Options{Node: me, Version: a.o.Version, Log: a.log, Unwell: a.unwell}); err != nil {
		return err
	}
	a.onClose("nodes", a.nodes.Leave)
	return nil
}

// ensureStreams makes the streams that there have to be, where somebody has deleted them too.
func (a *App) ensureStreams(ctx context.Context) error {
	return a.bus.EnsureStreams(ctx, natsbus.Limits{EventsMaxAge: a.o.Config.Events.MaxAge, EventsMaxBytes: a.o.Config.Events.MaxBytes})
}

// openHistory opens the projection. One that is damaged, or that knows more than the journal and so belongs to one that is gone,
// is moved aside, not thrown away, and a new one is made of the journal: it is a copy, and keeps nobody from being paged.
func (a *App) openHistory(ctx context.Context) (err error) {
	path := filepath.Join(a.o.Data, "history.db")
	newest, err := a.journal.Last(ctx)
	if err != nil {
		return err
	}
	for range 2 {
		a.history, err = history.Open(ctx, path)
		if errors.Is(err, history.ErrDamaged) {
			a.log.Error("the history is damaged, it is made again from the journal", "error", err)
			err = a.moveAside(path)
			if err == nil {
				a.history, err = history.Open(ctx, path)
			}
		}
		if err != nil {
			return err
		}
		seq, err := a.history.LastSeq(ctx)
		if err != nil {
			return errors.Join(err, a.history.Close())
		}
		same := seq <= newest
		if same {
			if same, err = a.history.BelongsTo(ctx, a.journal.Made()); err != nil {
				return errors.Join(err, a.history.Close())
			}
		}
		if same {
			break
		}
		if err := a.history.Close(); err != nil {
			return err
		}
		a.log.Error("the history is of another journal", "history_seq", seq, "journal_seq", newest, "journal_made", a.journal.Made())
		if err := a.moveAside(path); err != nil {
			return err
		}
	}
	a.onClose("history", func(context.Context) error { return a.history.Close() })
	return nil
}

// moveAside gives the files of a history other names.
func (a *App) moveAside(path string) error {
	aside := path + "." + clock().Format("20060102T150405") + ".old"
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("history: %w", err)
		}
	}
	a.log.Warn("the history was moved aside", "to", aside)
	return nil
}

// nodeName is the same whenever a daemon starts again on the same data, so that it takes over from itself at once, and
// another one for any other daemon.
func nodeName(data string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "alertd"
	}
	if abs, err := filepath.Abs(data); err == nil {
		data = abs
	}
	sum := sha256.Sum256([]byte(data))
	return host + "-" + hex.EncodeToString(sum[:3])
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
