// Package webhook posts notifications as JSON: the body is Alertmanager's webhook payload, version 4, so that
// whatever reads Alertmanager reads alertd; the headers are those of Standard Webhooks, so that a receiver can check
// who sent it and drop what it has seen.
package webhook

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"alertd"
	"alertd/notifier"

	"github.com/prometheus/prometheus/model/labels"
)

// Config configures a [Sender].
type Config struct {
	URL         string   // where to post; a secret, since many receivers are known by their URL alone
	Secrets     []string // "whsec_" and base64; each of them signs, so that a secret can be replaced without a gap
	MaxAlerts   int      // at most that many alerts in a body; 0: all
	ExternalURL string   // alertd's own page; "" where it has none
	HTTPClient  *http.Client
	Now         func() time.Time // default time.Now
}

// Sender posts to one URL. It is safe for concurrent use.
type Sender struct {
	cfg    Config
	client *http.Client
	place  string // scheme and host: all that an error may show
	hide   []string
	keys   [][]byte
}

// New checks the configuration. No error shows the URL or a secret.
func New(c Config) (*Sender, error) {
	u, err := url.Parse(c.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, errors.New("webhook: the URL must begin with http:// or https:// and name a host, as in https://example.org/hook")
	}
	s := &Sender{cfg: c, client: notifier.Client(c.HTTPClient), place: u.Scheme + "://" + u.Host}
	s.hide = append(s.hide, c.URL, u.RequestURI(), u.EscapedPath(), u.RawQuery)
	if pw, ok := u.User.Password(); ok {
		s.hide = append(s.hide, pw)
	}
	for i, secret := range c.Secrets {
		key, err := parseSecret(secret)
		if err != nil {
			return nil, fmt.Errorf("webhook: secret %d: %w", i+1, err)
		}
		s.keys = append(s.keys, key)
		s.hide = append(s.hide, secret, strings.TrimPrefix(secret, secretPrefix))
	}
	if s.cfg.Now == nil {
		s.cfg.Now = time.Now
	}
	return s, nil
}

const secretPrefix = "whsec_"

func parseSecret(s string) ([]byte, error) {
	const hint = `make one with: echo "whsec_$(openssl rand -base64 32)"`
	encoded, ok := strings.CutPrefix(s, secretPrefix)
	if !ok {
		return nil, errors.New("it must begin with whsec_; " + hint)
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("what follows whsec_ must be base64; " + hint)
	}
	if len(key) < 24 || len(key) > 64 {
		return nil, fmt.Errorf("it must hold 24 to 64 bytes, not %d; %s", len(key), hint)
	}
	return key, nil
}

// Send posts the notification. Any 2xx is success. There is no reference.
func (s *Sender) Send(ctx context.Context, n alertd.Notification) (string, error) {
	body, err := json.Marshal(message(&n, &s.cfg))
	if err != nil { // cannot be: the body holds strings, numbers and times only
		return "", s.failed(&alertd.DeliveryError{Outcome: alertd.Failed, Class: alertd.FailurePayload, Err: err})
	}
	now := s.cfg.Now()
	answer, de := notifier.Post(ctx, s.client, s.cfg.URL, s.header(n.ID, now, body), body, now)
	switch {
	case de != nil:
		return "", s.failed(de)
	case answer.Status >= 200 && answer.Status < 300:
		return "", nil
	default:
		return "", s.failed(notifier.StatusError(answer))
	}
}

// failed names the place, and no more of the URL.
func (s *Sender) failed(de *alertd.DeliveryError) error {
	de.Err = notifier.Redact(fmt.Errorf("webhook %s: %w", s.place, de.Err), s.hide...)
	return de
}

// header signs "id.timestamp.body" with every key.
func (s *Sender) header(id string, now time.Time, body []byte) http.Header {
	stamp := strconv.FormatInt(now.Unix(), 10)
	h := http.Header{
		"Content-Type":      {"application/json"},
		"User-Agent":        {"alertd"},
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {stamp},
	}
	var signatures []string
	for _, key := range s.keys {
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.", id, stamp)
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if len(signatures) > 0 {
		h["Webhook-Signature"] = []string{strings.Join(signatures, " ")}
	}
	return h
}

// payload is the body. All keys but "alertd" are Alertmanager's.
type payload struct {
	Version           string         `json:"version"`
	GroupKey          string         `json:"groupKey"`
	TruncatedAlerts   int            `json:"truncatedAlerts"`
	Receiver          string         `json:"receiver"`
	Status            string         `json:"status"`
	Reason            string         `json:"notification_reason"`
	GroupLabels       kv             `json:"groupLabels"`
	CommonLabels      kv             `json:"commonLabels"`
	CommonAnnotations kv             `json:"commonAnnotations"`
	RouteLabels       kv             `json:"routeLabels"`
	ExternalURL       string         `json:"externalURL"`
	Alerts            []payloadAlert `json:"alerts"`
	Alertd            extra          `json:"alertd"`
}

type payloadAlert struct {
	Status       string    `json:"status"`
	Labels       kv        `json:"labels"`
	Annotations  kv        `json:"annotations"`
	StartsAt     time.Time `json:"startsAt"`
	EndsAt       time.Time `json:"endsAt"` // the zero time while it fires
	GeneratorURL string    `json:"generatorURL"`
	Fingerprint  string    `json:"fingerprint"`
}

// extra is what Alertmanager has no word for.
type extra struct {
	ID       string `json:"id"`
	Seq      uint64 `json:"seq"` // counts the group's notifications: a receiver may drop one that comes late
	Severity string `json:"severity"`
	Digest   bool   `json:"digest"`
}

type kv map[string]string

func message(n *alertd.Notification, c *Config) payload {
	firing, resolved := notifier.Split(n)
	told := append(firing, resolved...)
	truncated := n.Truncated
	if c.MaxAlerts > 0 && len(told) > c.MaxAlerts {
		truncated += len(told) - c.MaxAlerts
		told = told[:c.MaxAlerts]
	}
	p := payload{
		Version:         "4",
		GroupKey:        string(n.Group),
		TruncatedAlerts: truncated,
		Receiver:        n.Receiver,
		Status:          n.Status(),
		Reason:          string(n.Reason),
		GroupLabels:     toKV(n.GroupLabels),
		RouteLabels:     kv{},
		ExternalURL:     c.ExternalURL,
		Alerts:          make([]payloadAlert, 0, len(told)),
		Alertd:          extra{ID: n.ID, Seq: n.Seq, Severity: string(n.Severity()), Digest: n.Digest},
	}
	for i := range told {
		p.Alerts = append(p.Alerts, alertOf(&told[i].Alert, c))
	}
	p.CommonLabels = common(p.Alerts, func(a *payloadAlert) kv { return a.Labels })
	p.CommonAnnotations = common(p.Alerts, func(a *payloadAlert) kv { return a.Annotations })
	return p
}

func alertOf(a *alertd.Alert, c *Config) payloadAlert {
	p := payloadAlert{
		Status:       "firing",
		Labels:       toKV(a.Labels),
		Annotations:  toKV(a.Annotations),
		StartsAt:     a.FiredAt.UTC(),
		GeneratorURL: cmp.Or(a.GeneratorURL, c.ExternalURL),
		Fingerprint:  a.Fingerprint.String(),
	}
	if p.StartsAt.IsZero() {
		p.StartsAt = a.ActiveAt.UTC()
	}
	if !a.State.Active() {
		p.Status, p.EndsAt = "resolved", notifier.Ended(a).UTC()
	}
	p.Annotations.setDefault(alertd.AnnotationRunbook, a.RunbookURL)
	p.Annotations.setDefault("trace_id", a.Trace.TraceID)
	if link, _ := notifier.Trace(a); link != "" {
		p.Annotations.setDefault("trace_url", link)
	}
	p.Annotations.setDefault("trace_note", a.TraceNote)
	return p
}

func (m kv) setDefault(k, v string) {
	if m[k] == "" && v != "" {
		m[k] = v
	}
}

func toKV(ls alertd.Labels) kv {
	m := kv{}
	ls.Range(func(l labels.Label) { m[l.Name] = l.Value })
	return m
}

// common is what all alerts agree on.
func common(as []payloadAlert, of func(*payloadAlert) kv) kv {
	m := kv{}
	for i := range as {
		if i == 0 {
			maps.Copy(m, of(&as[i]))
			continue
		}
		other := of(&as[i])
		for k, v := range m {
			if w, ok := other[k]; !ok || v != w {
				delete(m, k)
			}
		}
	}
	return m
}
