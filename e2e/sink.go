package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Page is one webhook delivery: Alertmanager's body, version 4, as far as the tests read it.
type Page struct {
	ID       string    `json:"-"` // header webhook-id: the same for every delivery of one notification
	At       time.Time `json:"-"` // when it arrived
	Body     string    `json:"-"` // as it came
	Version  string    `json:"version"`
	GroupKey string    `json:"groupKey"`
	Status   string    `json:"status"`
	Receiver string    `json:"receiver"`
	Alerts   []struct {
		Status       string            `json:"status"`
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
		StartsAt     time.Time         `json:"startsAt"`
		EndsAt       time.Time         `json:"endsAt"`
		Fingerprint  string            `json:"fingerprint"`
		GeneratorURL string            `json:"generatorURL"`
	} `json:"alerts"`
}

// Tells reports whether the page says that the alert of this name and service has this status, "firing" or "resolved".
func (p Page) Tells(alert, service, status string) bool {
	for _, a := range p.Alerts {
		if a.Labels["alertname"] == alert && a.Labels["service"] == service && a.Status == status {
			return true
		}
	}
	return false
}

// Sink is a webhook that keeps what it gets. It is safe to use from several goroutines.
type Sink struct {
	URL string

	server *http.Server
	mu     sync.Mutex
	answer func(Page) int // nil: 200
	pages  []Page
	wrong  []error
	news   chan struct{} // closed, and made anew, with each page
}

// NewSink listens on a free port of the loopback interface.
func NewSink() (*Sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Sink{URL: "http://" + l.Addr().String() + "/hook", news: make(chan struct{})}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(l) }() // ends with Close
	return s, nil
}

// AnswerWith makes deliveries from now on be answered with the HTTP status that f returns. Several may come at once.
func (s *Sink) AnswerWith(f func(Page) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// Close stops listening.
func (s *Sink) Close() { _ = s.server.Close() }

// ServeHTTP takes one delivery.
func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	page := Page{ID: r.Header.Get("webhook-id"), At: time.Now(), Body: string(body)}
	if err == nil {
		err = json.Unmarshal(body, &page)
	}
	if err == nil && page.ID == "" {
		err = fmt.Errorf("no webhook-id: %s", body)
	}
	if err != nil {
		s.mu.Lock()
		s.wrong = append(s.wrong, err)
		s.mu.Unlock()
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	status := http.StatusOK
	if answer != nil {
		status = answer(page)
	}
	s.mu.Lock()
	s.pages = append(s.pages, page)
	close(s.news)
	s.news = make(chan struct{})
	s.mu.Unlock()
	w.WriteHeader(status)
}

// Pages is everything that came, in order, and the deliveries that were not to be understood.
func (s *Sink) Pages() ([]Page, []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Page(nil), s.pages...), append([]error(nil), s.wrong...)
}

// Wait returns the first page that fits, whenever it came.
func (s *Sink) Wait(ctx context.Context, fits func(Page) bool) (Page, error) {
	for seen := 0; ; {
		s.mu.Lock()
		pages, news := s.pages, s.news
		s.mu.Unlock()
		for ; seen < len(pages); seen++ {
			if fits(pages[seen]) {
				return pages[seen], nil
			}
		}
		select {
		case <-news:
		case <-ctx.Done():
			return Page{}, fmt.Errorf("no such page among the %d that came: %w", seen, ctx.Err())
		}
	}
}
