package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"alertd/ingest"
	"alertd/natsbus"
)

const (
	otlpPath        = "/v1/metrics"
	otlpMaxBody     = 1 << 20 // as it comes, compressed or not; the stream takes no larger messages
	otlpConnections = 256
	otlpAtOnce      = 16               // requests that are looked at and stored at the same time
	otlpPatience    = time.Second      // a request waits so long for its turn
	otlpStore       = 5 * time.Second  // the stream has so long to take a message
	otlpHeader      = 5 * time.Second  // a client has so long to send its headers
	otlpRead        = 15 * time.Second // and its body
	otlpFallback    = "otlp"           // the subject's token where the resources name no one service
)

// otlpReceiver takes metrics over OTLP/HTTP and puts them onto the stream as they came; they are decoded like
// everything else when they are read from there. A request is answered once the stream has it.
type otlpReceiver struct {
	listener net.Listener
	publish  func(context.Context, *nats.Msg) error
	log      *slog.Logger
	slots    chan struct{}
	requests *prometheus.CounterVec
}

// listenOTLP binds the listener; nothing if no address is given.
func (a *App) listenOTLP(address string) (*otlpReceiver, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("OTLP: %w\n  hint: choose another address with --otlp-listen", err)
	}
	a.onClose("otlp listener", func(context.Context) error { return ignoreClosed(l.Close()) })
	r := &otlpReceiver{
		listener: l, log: a.log, slots: make(chan struct{}, otlpAtOnce),
		publish: func(ctx context.Context, m *nats.Msg) error {
			_, err := a.bus.JetStream().PublishMsg(ctx, m)
			return err
		},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "alertd_otlp_requests_total", Help: "Requests with metrics over OTLP/HTTP, by the code of the answer.",
		}, []string{"code"}),
	}
	a.metrics.registry.MustRegister(r.requests)
	return r, nil
}

// OTLP is the address that takes metrics over OTLP/HTTP; "" where none does.
func (a *App) OTLP() string {
	if a.otlp == nil {
		return ""
	}
	return a.otlp.listener.Addr().String()
}

// run serves until ctx ends, and lets the requests finish that are under way.
func (r *otlpReceiver) run(ctx context.Context) error {
	server := &http.Server{
		Handler: r, ReadHeaderTimeout: otlpHeader, ReadTimeout: otlpRead, WriteTimeout: otlpRead + otlpPatience + otlpStore + time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(r.log.Handler(), slog.LevelWarn),
	}
	r.log.Info("taking OTLP metrics", "url", "http://"+r.listener.Addr().String()+otlpPath)
	ended := make(chan error, 1)
	go func() { ended <- newPlaces(r.listener, otlpConnections, r.log).serve(server) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	down, stop := context.WithTimeout(context.WithoutCancel(ctx), otlpStore)
	defer stop()
	err := server.Shutdown(down)
	<-ended
	return err
}

// otlpRefusal is an answer that says no. Clients send again what was answered with 429 or 503.
type otlpRefusal struct {
	code int
	msg  string
}

// ServeHTTP answers one export.
func (r *otlpReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	media, _, _ := mime.ParseMediaType(req.Header.Get("Content-Type"))
	asJSON := media == "application/json"
	refused := r.take(w, req, media)
	code := http.StatusOK
	var answer proto.Message = &collectorpb.ExportMetricsServiceResponse{}
	if refused != nil {
		code = refused.code
		answer = &status.Status{Message: refused.msg}
		if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		r.log.Debug("OTLP request refused", "code", code, "reason", refused.msg, "from", req.RemoteAddr)
	}
	r.requests.WithLabelValues(fmt.Sprint(code)).Inc()
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if asJSON || media != "application/x-protobuf" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		body, _ := protojson.Marshal(answer) // cannot fail for valid UTF-8, and there is nobody to tell
		_, _ = w.Write(body)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(code)
	body, _ := proto.Marshal(answer)
	_, _ = w.Write(body)
}

// take puts one request onto the stream.
func (r *otlpReceiver) take(w http.ResponseWriter, req *http.Request, media string) *otlpRefusal {
	switch {
	case req.URL.Path != otlpPath:
		return &otlpRefusal{http.StatusNotFound, "alertd takes metrics at " + otlpPath + " and nothing else"}
	case req.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return &otlpRefusal{http.StatusMethodNotAllowed, "send metrics with POST"}
	case media != "application/x-protobuf" && media != "application/json":
		return &otlpRefusal{http.StatusUnsupportedMediaType, "send application/x-protobuf or application/json"}
	}
	encoding := strings.ToLower(strings.TrimSpace(req.Header.Get("Content-Encoding")))
	switch encoding {
	case "", "identity", "gzip", "zstd", "snappy":
	default:
		return &otlpRefusal{http.StatusUnsupportedMediaType, "send the body as it is, or with gzip, zstd or snappy"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, otlpMaxBody))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &otlpRefusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes; send smaller batches, or compress them", tooLarge.Limit)}
	}
	if err != nil {
		return &otlpRefusal{http.StatusBadRequest, "the body did not arrive"}
	}

	wait := time.NewTimer(otlpPatience)
	defer wait.Stop()
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-wait.C:
		return &otlpRefusal{http.StatusTooManyRequests, "too many requests at once; try again"}
	case <-req.Context().Done():
		return &otlpRefusal{http.StatusServiceUnavailable, "the client has gone"}
	}
	service, resources, err := ingest.CheckOTLP(media, encoding, body)
	switch {
	case err != nil:
		return &otlpRefusal{http.StatusBadRequest, err.Error()}
	case resources == 0:
		return nil // nothing to tell
	case service == "":
		service = otlpFallback
	}
	m := nats.NewMsg(natsbus.MetricsSubject(service))
	m.Data = body
	m.Header.Set("Content-Type", media)
	if encoding != "" && encoding != "identity" {
		m.Header.Set("Content-Encoding", encoding)
	}
	if m.Size() > otlpMaxBody {
		return &otlpRefusal{http.StatusRequestEntityTooLarge, "the body is a little too large for the stream; send smaller batches, or compress them"}
	}
	ctx, stop := context.WithTimeout(req.Context(), otlpStore)
	defer stop()
	if err := r.publish(ctx, m); err != nil {
		r.log.Warn("OTLP metrics not stored, the client is asked to send them again", "error", err)
		return &otlpRefusal{http.StatusServiceUnavailable, "the stream of events does not take metrics now; try again"}
	}
	return nil
}
