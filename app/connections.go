package app

import (
	"container/list"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

const (
	// mostConnections is how many HTTP clients may be connected at once. Each that does nothing costs some 30 KB.
	mostConnections = 4096
	// ownFiles are those that alertd wants for itself whatever clients do: for pages that go out, the streams and the history.
	ownFiles = 256
	// quietGrace is how long a client may ask nothing while others wait for its place.
	quietGrace = time.Second
)

// connections is how many clients may be connected where the process may open so many files: with all of them taken by clients, nothing
// could be stored or sent.
func connections(files uint64) int {
	if files <= 2*ownFiles {
		return int(max(files/2, 1))
	}
	return int(min(files-ownFiles, 2*mostConnections) / 2)
}

// openFiles is how many files this process may open.
func openFiles() uint64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 1024 // what systems begin with
	}
	return l.Cur
}

// places is a listener with room for so many clients. When all of it is taken, the client that has asked nothing for longest gives way
// to the next one, so that idle clients keep nobody from the dashboard. Where all are being served, the next one waits; the server's
// time-outs bound that.
type places struct {
	net.Listener
	most  int
	grace time.Duration // who has asked nothing for less than that stays: its question may be on the way
	log   *slog.Logger

	mu     sync.Mutex
	change sync.Cond // a client has gone, or has asked nothing for long enough, or the listener is closed
	taken  int
	quiet  list.List // of *place: who is connected and asks nothing, the longest first
	closed bool
	said   bool // that there are too many; until half of them have gone
}

// place is the connection of one client.
type place struct {
	net.Conn
	of    *places
	quiet *list.Element // nil: it is being served
	since time.Time     // of its quiet
	gone  bool
}

func newPlaces(l net.Listener, most int, log *slog.Logger) *places {
	p := &places{Listener: l, most: most, grace: quietGrace, log: log}
	p.change.L = &p.mu
	return p
}

// serve answers clients until the server is shut down.
func (p *places) serve(s *http.Server) error {
	s.ConnState = p.observe
	return s.Serve(p)
}

// Accept waits for the next client, and until there is room for it.
func (p *places) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.taken >= p.most && !p.closed {
		p.makeRoom()
	}
	if p.closed {
		_ = c.Close() // it was never answered
		return nil, net.ErrClosed
	}
	p.taken++
	return &place{Conn: c, of: p}, nil
}

// makeRoom ends when a client has given way, or something has changed.
func (p *places) makeRoom() {
	if !p.said {
		p.said = true
		p.log.Warn("as many HTTP clients are connected as may be, those that ask nothing give way to new ones", "clients", p.taken, "listen", p.Addr())
	}
	oldest := p.quiet.Front()
	if oldest == nil {
		p.change.Wait()
		return
	}
	pl := oldest.Value.(*place)
	if wait := p.grace - time.Since(pl.since); wait > 0 {
		defer time.AfterFunc(wait, p.change.Broadcast).Stop()
		p.change.Wait()
		return
	}
	p.mu.Unlock()
	_ = pl.Close() // what it may have to say is of no interest any more
	p.mu.Lock()
}

// observe hears from the server what a client does.
func (p *places) observe(c net.Conn, s http.ConnState) {
	pl := c.(*place)
	p.mu.Lock()
	defer p.mu.Unlock()
	pl.serve()
	if (s == http.StateNew || s == http.StateIdle) && !pl.gone {
		pl.quiet, pl.since = p.quiet.PushBack(pl), time.Now()
		p.change.Broadcast()
	}
}

// serve takes the client off the list of those that ask nothing.
func (pl *place) serve() {
	if pl.quiet != nil {
		pl.of.quiet.Remove(pl.quiet)
		pl.quiet = nil
	}
}

// Close gives the place back.
func (pl *place) Close() error {
	p := pl.of
	p.mu.Lock()
	if !pl.gone {
		pl.gone = true
		pl.serve()
		p.taken--
		p.said = p.said && p.taken > p.most/2
		p.change.Broadcast()
	}
	p.mu.Unlock()
	return pl.Conn.Close()
}

// Close ends the listening. Who is connected stays.
func (p *places) Close() error {
	p.mu.Lock()
	p.closed = true
	p.change.Broadcast()
	p.mu.Unlock()
	return p.Listener.Close()
}
