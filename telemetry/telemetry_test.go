package telemetry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

// Nothing is traced unless somebody asks for it.
func TestOffByDefault(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"nothing":                   {},
		"a name":                    {"OTEL_SERVICE_NAME": "pager"},
		"none":                      {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
		"switched off":              {"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
		"only metrics are exported": {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4318"},
	} {
		t.Run(name, func(t *testing.T) {
			clearEnv(t)
			for k, v := range env {
				t.Setenv(k, v)
			}
			p, stop, err := Start(t.Context(), "v1", slog.New(slog.DiscardHandler))
			if p != nil || err != nil {
				t.Errorf("%v, %v", p, err)
			}
			stop(t.Context())
		})
	}
}

func clearEnv(t *testing.T) {
	for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		t.Setenv(name, "")
	}
}

func TestMistakes(t *testing.T) {
	clearEnv(t)
	t.Setenv("OTEL_TRACES_EXPORTER", "jaeger")
	if _, _, err := Start(t.Context(), "v1", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "hint: check OTEL_TRACES_EXPORTER") {
		t.Error(err)
	}
}

// A backend that is away is told once a minute, and its address, which may hold a password, is not told at all.
func TestComplaints(t *testing.T) {
	var b bytes.Buffer
	c := &complaints{log: slog.New(slog.NewTextHandler(&b, nil))}
	for range 3 {
		c.Handle(&url.Error{Op: "Post", URL: "http://me:secret@collector/", Err: errors.New("connection refused")})
	}
	if out := b.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, "connection refused") || strings.Contains(out, "secret") {
		t.Error(out)
	}
}

func TestLogTraces(t *testing.T) {
	var b bytes.Buffer
	log := LogTraces(LogTraces(slog.New(slog.NewTextHandler(&b, nil)))).With("node", "a")
	id, _ := trace.TraceIDFromHex("4bf92f3577b34da6a3ce929d0e0e4736")
	span, _ := trace.SpanIDFromHex("00f067aa0ba902b7")
	ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span}))
	log.InfoContext(ctx, "with")
	log.Info("without")
	with, without, _ := strings.Cut(b.String(), "\n")
	if strings.Count(with, "trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7") != 1 || !strings.Contains(with, "node=a") || strings.Contains(without, "trace_id") {
		t.Error(b.String())
	}
}
