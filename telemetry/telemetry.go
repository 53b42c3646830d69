// Package telemetry is where alertd's own traces leave the process: the exporter, as the standard OTEL_* environment
// asks for it, and log lines that carry the ids of the span they were written in.
//
// Who makes spans needs none of it: rooms take a [trace.TracerProvider], or the one of the span in their context.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// flushPatience is how long the end of the process waits for a backend to take the last spans.
const flushPatience = 3 * time.Second

// Start makes the provider of tracers that the environment asks for: OTEL_TRACES_EXPORTER (otlp, console, none),
// OTEL_EXPORTER_OTLP_*, OTEL_TRACES_SAMPLER, OTEL_BSP_*, OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES mean what
// OpenTelemetry's specification says. But for one thing: where neither an exporter nor an endpoint is named, nothing is
// traced and the provider is nil. Stop sends what is left, and waits for three seconds at most.
//
// An error is a mistake in the environment. That a backend does not answer is none: spans are lost then, and log says
// so at most once a minute.
func Start(ctx context.Context, version string, log *slog.Logger) (_ trace.TracerProvider, stop func(context.Context), _ error) {
	none := func(context.Context) {}
	if !wanted(os.Getenv) {
		return nil, none, nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, none, fmt.Errorf("tracing: %w\n  hint: check OTEL_TRACES_EXPORTER (otlp, console, none) and OTEL_EXPORTER_OTLP_PROTOCOL (http/protobuf, grpc)", withoutURL(err))
	}
	if autoexport.IsNoneSpanExporter(exporter) {
		return nil, none, nil
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName("alertd"), semconv.ServiceVersion(version)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(), resource.WithFromEnv()) // the environment has the last word
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, none, fmt.Errorf("tracing: %w\n  hint: check OTEL_RESOURCE_ATTRIBUTES (name=value,name=value)", err)
	}
	otel.SetErrorHandler(&complaints{log: log})
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))
	return provider, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushPatience)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("the last traces were not sent", "error", withoutURL(err))
		}
	}, nil
}

// wanted reports whether somebody asks for traces.
func wanted(env func(string) string) bool {
	if strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		if env(name) != "" {
			return true
		}
	}
	return false
}

// complaints of the SDK go to the log, the same one at most once a minute: a backend that is away fails every five seconds.
type complaints struct {
	log *slog.Logger

	mu   sync.Mutex
	last time.Time
}

// Handle implements [otel.ErrorHandler].
func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.last) >= time.Minute {
		c.last = now
		c.log.Warn("traces are not sent; alertd goes on without", "error", withoutURL(err))
	}
}

// withoutURL leaves out an endpoint's address, which may hold a password.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
