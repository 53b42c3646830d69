package natsbus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// A server whose files could not be written, because the disk is full for instance, refuses whatever comes from then on, also when
// there is room again (nats-server 2.15). It has lost nothing that it had acknowledged, so it is started once more then.

const (
	mendEvery = time.Second
	// mendRoom is how many bytes have to fit on the disk before the server is started again.
	mendRoom = 4 << 20
)

// unwritable are the reasons why files cannot be written now, and perhaps later.
var unwritable = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, syscall.EFBIG}

// InProcessConn connects to the server that runs now. Our client calls it, also when it reconnects.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.srv.InProcessConn()
}

// failed hears what the server could not do. If that was to write, somebody waits from now on until it can.
func (e *embedded) failed(err error) {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok || !slices.Contains(unwritable, errno) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stuck != nil || e.stopped {
		return
	}
	e.stuck = errno
	ctx, cancel := context.WithCancel(context.Background())
	e.giveUp = cancel
	e.mending.Go(func() { e.mend(ctx) })
}

// unable says why nothing can be stored; nil: it can.
func (e *embedded) unable() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stuck == nil {
		return nil
	}
	return fmt.Errorf("nothing can be written to %s, so nothing is taken and nothing is sent: %w; make room or make it writable, alertd goes on by itself then", e.o.StoreDir, e.stuck)
}

// mend waits until files can be written again, and starts the server anew.
func (e *embedded) mend(ctx context.Context) {
	e.log.Error("nothing can be stored, nothing is taken and nothing is sent until it can", "folder", e.o.StoreDir, "error", e.stuck)
	wait := time.NewTicker(mendEvery)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		if err := tryWrite(e.o.StoreDir); err != nil {
			continue
		}
		e.halt()
		if err := e.launch(ctx, e.host, e.port, e.maxStore); err != nil {
			e.log.Error("embedded NATS server does not start again", "error", err)
			continue
		}
		e.log.Info("the store can be written again, the embedded NATS server was started anew")
		e.mu.Lock()
		defer e.mu.Unlock()
		e.stuck = nil
		return
	}
}

// tryWrite reports whether a file of some size can be written into a folder.
func tryWrite(dir string) error {
	name := filepath.Join(dir, "probe")
	err := os.WriteFile(name, make([]byte, mendRoom), 0o600)
	return errors.Join(err, os.Remove(name))
}
