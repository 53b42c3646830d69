// Package natstest starts NATS servers that are not alertd's own, for tests.
package natstest

import (
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Server is a NATS server on loopback. One goroutine stops it and starts it again.
type Server struct {
	*server.Server // as it was started last

	Options server.Options // for the next start, with the port and the folder that it has had
}

// Start starts a server on a free port and with a folder of the test, and returns when it takes connections. The end of the test stops it.
func Start(t testing.TB, o server.Options) *Server {
	t.Helper()
	o.Host, o.Port, o.StoreDir, o.NoSigs, o.NoLog = "127.0.0.1", server.RANDOM_PORT, t.TempDir(), true, true
	s := &Server{Options: o}
	s.StartAgain(t)
	t.Cleanup(s.Stop)
	return s
}

// StartAgain starts a server where it was before it was stopped, with what it had stored.
func (s *Server) StartAgain(t testing.TB) {
	t.Helper()
	o := s.Options
	srv, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Server = srv
	srv.Start()
	if !srv.ReadyForConnections(30 * time.Second) {
		s.Stop()
		t.Fatal("the NATS server does not take connections")
	}
	s.Options.Port = srv.Addr().(*net.TCPAddr).Port
}

// Stop shuts the server down, and returns when it is gone.
func (s *Server) Stop() {
	s.Shutdown()
	s.WaitForShutdown()
}
