package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Build compiles cmd/alertd into dir and returns the path of the binary. It has to be called from within the module.
func Build(ctx context.Context, dir string, race bool) (string, error) {
	path := filepath.Join(dir, "alertd")
	args := []string{"build", "-o", path}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "alertd/cmd/alertd")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

// Options say how a [Daemon] is started.
type Options struct {
	Binary     string
	Data       string    // folder; survives the process
	Rules      string    // folder; "" means the shipped rules
	NATS       string    // server to use; "" means the embedded one
	Listen     string    // HTTP; "" means any free port of the loopback interface
	NATSListen string    // of the embedded server; "" means any free port
	Env        []string  // added to the environment
	Args       []string  // added to the command line
	Log        io.Writer // gets what the process says on stderr; may be nil
}

// readyTimeout is how long a daemon may take until it is ready: long, because machines that run tests are busy.
const readyTimeout = 2 * time.Minute

// Daemon is one running process of alertd serve.
type Daemon struct {
	URL  string // of its HTTP server: http://HOST:PORT
	NATS string // of the server that it uses: nats://HOST:PORT

	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone and err is set
	err  error
	log  tail
}

// Start runs `alertd serve` and waits for it to say that it is ready. The process outlives ctx, which bounds only the
// wait: [Daemon.Stop] or [Daemon.Kill] it.
func Start(ctx context.Context, o Options) (*Daemon, error) {
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	args := []string{"serve", "--data", o.Data, "--listen", or(o.Listen, "127.0.0.1:0"), "--nats-listen", or(o.NATSListen, "127.0.0.1:0")}
	if o.Rules != "" {
		args = append(args, "--rules", o.Rules)
	}
	if o.NATS != "" {
		args = append(args, "--nats", o.NATS)
	}
	cmd := exec.Command(o.Binary, append(args, o.Args...)...)
	cmd.Env = append(os.Environ(), o.Env...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	d := &Daemon{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout = &d.log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan string, 1)
	go d.watch(stderr, o.Log, ready)

	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	select {
	case line := <-ready:
		d.URL, d.NATS = "http://"+field(line, "http="), field(line, "nats=")
		if d.URL == "http://" || d.NATS == "" {
			d.Kill()
			return nil, fmt.Errorf("the ready line names no http= or nats=: %s", line)
		}
		return d, nil
	case <-d.done:
		return nil, fmt.Errorf("alertd serve ended before it was ready: %w\n%s", d.err, d.Log())
	case <-ctx.Done():
		d.Kill()
		return nil, fmt.Errorf("alertd serve was not ready: %w\n%s", ctx.Err(), d.Log())
	}
}

// watch reads stderr until the process is gone.
func (d *Daemon) watch(stderr io.Reader, log io.Writer, ready chan<- string) {
	defer close(d.done)
	lines := bufio.NewReader(stderr)
	told := false
	for {
		line, err := lines.ReadString('\n')
		_, _ = io.WriteString(&d.log, line)
		if log != nil {
			_, _ = io.WriteString(log, line)
		}
		if !told && strings.Contains(line, "msg=ready") {
			told = true
			ready <- line
		}
		if err != nil {
			break
		}
	}
	d.err = d.cmd.Wait()
}

// field is the value after key in a line of key=value pairs.
func field(line, key string) string {
	_, rest, ok := strings.Cut(line, " "+key)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	return strings.Trim(value, `"`)
}

// Done is closed when the process is gone.
func (d *Daemon) Done() <-chan struct{} { return d.done }

// Signal sends the process a signal.
func (d *Daemon) Signal(s os.Signal) error { return d.cmd.Process.Signal(s) }

// Kill ends the process as a power cut does, and returns when it is gone.
func (d *Daemon) Kill() {
	_ = d.cmd.Process.Kill() // an error says that it is gone already
	<-d.done
}

// stopTimeout is how long a daemon may take to end. On an idle machine it is a tenth of a second.
const stopTimeout = time.Minute

// Stop asks the process to end, waits for it and returns its exit code. After stopTimeout it is made to say what its goroutines do,
// killed, and the error says so.
func (d *Daemon) Stop() (int, error) {
	if err := d.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return -1, err
	}
	select {
	case <-d.done:
	case <-time.After(stopTimeout):
		_ = d.Signal(syscall.SIGQUIT)
		select {
		case <-d.done:
		case <-time.After(stopTimeout):
			d.Kill()
		}
		return -1, fmt.Errorf("alertd serve was still there %s after SIGTERM\n%s", stopTimeout, d.Log())
	}
	return d.cmd.ProcessState.ExitCode(), nil
}

// Log is the end of what the process said.
func (d *Daemon) Log() string { return d.log.String() }

// A tail keeps the end of what is written to it. It is safe to use from several goroutines.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 256 << 10

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

// String is what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
