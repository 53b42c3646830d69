package app

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// Whatever clients do, there are files for pages.
func TestConnectionsLeaveFiles(t *testing.T) {
	for _, c := range []struct {
		files uint64
		want  int
	}{{0, 1}, {256, 128}, {512, 256}, {1024, 384}, {20_000, 4096}, {1 << 63, 4096}} {
		if got := connections(c.files); got != c.want {
			t.Errorf("of %d files clients get %d, want %d", c.files, got, c.want)
		}
	}
}

// crowd serves on few places. A request for /slow is answered when release is closed.
func crowd(t *testing.T, most int, grace time.Duration) (address string, release chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	release = make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
		_, _ = io.WriteString(w, "here")
	})}
	ended := make(chan error, 1)
	p := newPlaces(l, most, slog.New(slog.NewTextHandler(t.Output(), nil)))
	p.grace = grace
	go func() { ended <- p.serve(server) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String(), release
}

// visitor is a client that keeps its connection.
type visitor struct {
	net.Conn
	answers *bufio.Reader
}

func visit(t *testing.T, address string) *visitor {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &visitor{c, bufio.NewReader(c)}
}

func (v *visitor) ask(path string) error {
	_, err := fmt.Fprintf(v, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	return err
}

func (v *visitor) answer() error {
	r, err := http.ReadResponse(v.answers, nil)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	_, err = io.Copy(io.Discard, r.Body)
	return err
}

// Clients that have been answered and clients that never ask keep their places until somebody else wants one.
func TestIdleClientsGiveWay(t *testing.T) {
	address, _ := crowd(t, 4, time.Millisecond)
	var idle []*visitor
	for i := range 12 {
		v := visit(t, address)
		if i%2 == 0 { // every other one says nothing at all
			if err := errors.Join(v.ask("/"), v.answer()); err != nil {
				t.Fatalf("client %d: %v", i, err)
			}
		}
		idle = append(idle, v)
	}
	last := visit(t, address)
	if err := errors.Join(last.ask("/"), last.answer()); err != nil {
		t.Fatalf("with idle clients only, another one is not answered: %v", err)
	}
	if _, err := idle[0].answers.ReadByte(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("who was quiet for longest read %v, want that the daemon has hung up", err)
	}
}

// A client that waits for its answer is not robbed of it: the next one waits.
func TestServedClientsStay(t *testing.T) {
	address, release := crowd(t, 2, time.Hour)
	served := []*visitor{visit(t, address), visit(t, address)}
	for _, v := range served {
		if err := v.ask("/slow"); err != nil {
			t.Fatal(err)
		}
	}
	next := visit(t, address)
	if err := next.ask("/"); err != nil {
		t.Fatal(err)
	}
	if err := next.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := next.answer(); err == nil {
		t.Error("three are served on two places")
	}
	close(release)
	for i, v := range served {
		if err := v.answer(); err != nil {
			t.Errorf("client %d lost its answer: %v", i, err)
		}
	}
	if err := served[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := next.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := next.answer(); err != nil {
		t.Errorf("who waited is not answered: %v", err)
	}
}
