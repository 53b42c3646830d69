package e2e_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// natsChild is a NATS server in a process of its own, which can be killed.
type natsChild struct {
	dir, url string
	cmd      *exec.Cmd
	hold     io.Closer // its standard input: it ends with ours
}

const natsChildEnv = "ALERTD_E2E_NATS"

// start starts the server, the second time on the same port, and waits until it listens.
func (n *natsChild) start(t *testing.T) {
	t.Helper()
	port := "-1"
	if u, err := url.Parse(n.url); err == nil && n.url != "" {
		port = u.Port()
	}
	n.cmd = exec.Command(os.Args[0])
	n.cmd.Env = append(os.Environ(), natsChildEnv+"="+n.dir, natsChildEnv+"_PORT="+port)
	n.cmd.Stderr = os.Stderr
	in, err := n.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n.hold = in
	if _, err := fmt.Fscanln(out, &n.url); err != nil {
		t.Fatalf("the NATS server did not start: %v", err)
	}
}

// kill ends it as a power cut does.
func (n *natsChild) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	_ = n.hold.Close()
}

// natsChildMain is that process. It says its URL and ends when its standard input does.
func natsChildMain(dir string) int {
	port, err := strconv.Atoi(os.Getenv(natsChildEnv + "_PORT"))
	if err == nil {
		var s *server.Server
		s, err = server.NewServer(&server.Options{
			Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true,
		})
		if err == nil {
			s.Start()
			if !s.ReadyForConnections(patience) {
				err = net.ErrClosed
			} else {
				fmt.Println(s.ClientURL())
				_, _ = io.Copy(io.Discard, os.Stdin)
				return 0
			}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}
