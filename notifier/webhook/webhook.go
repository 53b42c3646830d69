// Package webhook posts notifications as JSON: the body is Alertmanager's webhook payload, version 4, so that
// whatever reads Alertmanager reads alertd; the headers are those of Standard Webhooks, so that a receiver can check
// who sent it and drop what it has seen.
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"alertd"
	"alertd/notifier"
	"alertd/templates"
)

// Config configures a [Sender].
type Config struct {
	URL         string   // where to post, perhaps a template; a secret, since many receivers are known by their URL alone
	Secrets     []string // "whsec_" and base64; each of them signs, so that a secret can be replaced without a gap
	MaxAlerts   int      // at most that many alerts in a body; 0: all
	ExternalURL string   // alertd's own page; "" where it has none

	// Payload is a body of the receiver's own: maps, lists and values as JSON has them, of which every text is a
	// template. Nil is Alertmanager's.
	Payload   any
	Templates *templates.Set // nil: nothing is a template

	HTTPClient *http.Client
	Now        func() time.Time // default time.Now
}

// Sender posts to one URL. It is safe for concurrent use.
type Sender struct {
	cfg    Config
	client *http.Client
	fixed  place // where the URL is no template
	hide   []string
	keys   [][]byte
}

// New checks the configuration. No error shows the URL or a secret.
func New(c Config) (*Sender, error) {
	s := &Sender{cfg: c, client: notifier.Client(c.HTTPClient)}
	if !s.templated() {
		var err error
		if s.fixed, err = placeOf(c.URL); err != nil {
			return nil, fmt.Errorf("webhook: %w", err)
		}
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

func (s *Sender) templated() bool { return s.cfg.Templates != nil && strings.Contains(s.cfg.URL, "{{") }

// place is where to post. Its name is scheme and host: all that an error may show.
type place struct {
	url, name string
	hide      []string
}

func placeOf(to string) (place, error) {
	u, err := url.Parse(to)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return place{}, errors.New("the URL must begin with http:// or https:// and name a host, as in https://example.org/hook")
	}
	p := place{url: to, name: u.Scheme + "://" + u.Host, hide: []string{to, u.RequestURI(), u.EscapedPath(), u.RawQuery}}
	if pw, ok := u.User.Password(); ok {
		p.hide = append(p.hide, pw)
	}
	return p, nil
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
	m, err := s.compose(&n)
	if err != nil {
		return "", s.failed(m.to, errorOf(alertd.Failed, err))
	}
	now := s.cfg.Now()
	answer, de := notifier.Post(ctx, s.client, m.to.url, s.header(n.ID, now, m.body), m.body, now)
	switch {
	case de != nil:
		return "", s.failed(m.to, de)
	case answer.Status < 200 || answer.Status >= 300:
		return "", s.failed(m.to, notifier.StatusError(answer))
	case m.remark != nil:
		return "", s.failed(m.to, errorOf(alertd.Delivered, m.remark))
	default:
		return "", nil
	}
}

// errorOf says that a template failed.
func errorOf(o alertd.Outcome, err error) *alertd.DeliveryError {
	return &alertd.DeliveryError{Outcome: o, Class: alertd.FailureTemplate, Err: err}
}

// failed names the place, and no more of the URL.
func (s *Sender) failed(to place, de *alertd.DeliveryError) error {
	where := "webhook"
	if to.name != "" {
		where += " " + to.name
	}
	de.Err = notifier.Redact(fmt.Errorf("%s: %w", where, de.Err), append(to.hide, s.hide...)...)
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
