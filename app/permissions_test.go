package app_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"alertd/app"
	"alertd/natsbus"
)

// complaints are what a server says of clients that do what they may not.
type complaints struct {
	mu   sync.Mutex
	said []string
}

func (c *complaints) hear(format string, v ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if line := fmt.Sprintf(format, v...); strings.Contains(line, "Violation") {
		c.said = append(c.said, line)
	}
}

func (c *complaints) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said
}

func (c *complaints) Noticef(format string, v ...any) { c.hear(format, v...) }
func (c *complaints) Warnf(format string, v ...any)   { c.hear(format, v...) }
func (c *complaints) Errorf(format string, v ...any)  { c.hear(format, v...) }
func (c *complaints) Fatalf(format string, v ...any)  { c.hear(format, v...) }
func (c *complaints) Debugf(format string, v ...any)  { c.hear(format, v...) }
func (c *complaints) Tracef(string, ...any)           {}

// permitted starts a server with the configuration of docs/operating.md, and returns the URL of a user.
func permitted(t *testing.T, change func(config string) string) (said *complaints, as func(user string) string) {
	t.Helper()
	doc, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, config, found := strings.Cut(string(doc), "# nats-server.conf\n")
	if !found {
		t.Fatal("docs/operating.md has no configuration for nats-server")
	}
	config, _, _ = strings.Cut(config, "```")
	path := filepath.Join(t.TempDir(), "nats-server.conf")
	if err := os.WriteFile(path, []byte("listen: 127.0.0.1:-1\nALERTD_PASSWORD: s3cret\nPUBLISHER_PASSWORD: s3cret\n"+change(config)), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatal(err)
	}
	o.StoreDir, o.NoSigs = t.TempDir(), true
	srv, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	said = &complaints{}
	srv.SetLoggerV2(said, true, false, false)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(30 * time.Second) {
		t.Fatal("server is not ready")
	}
	return said, func(user string) string { return strings.Replace(srv.ClientURL(), "://", "://"+user+":s3cret@", 1) }
}

// nodeOn starts an alertd on somebody's NATS.
func nodeOn(t *testing.T, url string, s *sink) (*app.App, func()) {
	t.Helper()
	a, err := app.New(t.Context(), app.Options{
		Rules: files(s.URL), Data: t.TempDir(), Listen: "127.0.0.1:0", NATS: url,
		Console: t.Output(), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, run(t, a)
}

// With what docs/operating.md allows, two nodes do all that they do: page, stand by, answer for each other, save their state.
func TestDocumentedPermissionsAreEnough(t *testing.T) {
	t.Parallel()
	said, as := permitted(t, func(config string) string { return config })
	s := newSink(t)
	a, stopA := nodeOn(t, as("alertd"), s)
	until(t, a, "/metrics", "alertd_leading 1\n")
	b, stopB := nodeOn(t, as("alertd"), s)
	insist(t, connect(t, as("publisher")), s, "api")
	until(t, b, "/api/v1/alerts", `"service":"api"`) // as the leader says
	until(t, b, "/api/v2/status", strings.Split(a.HTTP(), ":")[1])
	stopA()
	until(t, b, "/metrics", "alertd_leading 1\n")
	insist(t, connect(t, as("publisher")), s, "db")
	if code, body := get(t, b, "/health/ready"); code != http.StatusOK {
		t.Errorf("not ready: %s", body)
	}
	stopB()
	if c := said.all(); len(c) > 0 {
		t.Errorf("the server complained:\n%s", strings.Join(c, "\n"))
	}
}

// One subject is not allowed. Whoever looks sees which.
func TestDeniedSubjectIsNamed(t *testing.T) {
	t.Parallel()
	for _, subject := range []string{natsbus.JournalSubject, "$KV.ALERTD_LEASE.>"} {
		t.Run(subject, func(t *testing.T) {
			t.Parallel()
			_, as := permitted(t, func(config string) string {
				allow, rest, _ := strings.Cut(config, "publish: [")
				list, rest, _ := strings.Cut(rest, "]")
				return allow + fmt.Sprintf("publish: {allow: [%s], deny: %q}", list, subject) + rest
			})
			a, _ := nodeOn(t, as("alertd"), newSink(t))
			until(t, a, "/health/ready", "NATS does not let this user publish to "+strings.ReplaceAll(subject, ">", `\u003e`))
		})
	}
}
