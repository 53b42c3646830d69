package natsbus

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// smallDisk is a folder with 24 MiB of room.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("a small disk cannot be mounted, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// The disk becomes full: nothing is acknowledged that is not kept, and the bus says why. When there is room again, it goes on by
// itself, on the same port and with all that it had acknowledged.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t)
	b := open(t, Options{StoreDir: filepath.Join(dir, "nats"), MaxStore: 1 << 30})
	if err := b.EnsureStreams(t.Context(), Limits{EventsMaxAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	js := b.JetStream()
	patience := 30 * time.Second
	publish := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := js.Publish(ctx, MetricsSubject("api"), make([]byte, 1000))
		return err
	}
	kept := 0
	for range 10 {
		if err := publish(); err != nil {
			t.Fatal(err)
		}
		kept++
	}
	fill := filepath.Join(dir, "fill")
	if err := os.WriteFile(fill, make([]byte, 30<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	patience = time.Second // a server that cannot write does not answer
	eventually(t, func() error {
		if err := publish(); err == nil {
			kept++
			return errors.New("an event was taken") // there may be room in a page that is in use
		}
		err := b.Ping(t.Context())
		if err == nil {
			return errors.New("the bus says that it is well")
		}
		if !strings.Contains(err.Error(), "no space left on device") || !strings.Contains(err.Error(), dir) {
			t.Errorf("what it says does not help: %v", err)
		}
		return nil
	})
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return errors.Join(b.Ping(t.Context()), publish()) })
	nc, err := nats.Connect(b.URL(), nats.Timeout(time.Minute)) // where others found it before
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	other, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	s, err := other.Stream(t.Context(), EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n < uint64(kept)+1 {
		t.Errorf("%d events are there, %d were acknowledged", n, kept+1)
	}
}

// eventually asks again until there is no error.
func eventually(t *testing.T, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
