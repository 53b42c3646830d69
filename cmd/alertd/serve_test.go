package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// Who is told to end before everything is open ends well.
func TestEndBeforeReady(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, log bytes.Buffer
	code := run(ctx, []string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0"}, nil, &out, &log)
	if code != 0 || !strings.Contains(log.String(), "stopped") || strings.Contains(log.String(), "alertd: ") {
		t.Errorf("exit code %d\n%s", code, log.String())
	}
}
