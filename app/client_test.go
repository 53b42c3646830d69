package app

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"alertd/config"
)

func TestClientSpeaksAsHTTPConfigSays(t *testing.T) {
	asked := make(chan string, 1)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header.Get("Authorization") }))
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client(&config.HTTP{Authorization: "Bearer abc", TLS: &tls.Config{RootCAs: roots}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := <-asked; got != "Bearer abc" || req.Header.Get("Authorization") != "" {
		t.Errorf("the server got %q, the caller's request has %q", got, req.Header.Get("Authorization"))
	}
	if resp, err := client(nil).Do(req); err == nil {
		resp.Body.Close()
		t.Error("a certificate that nobody named was trusted")
	}
}

// ask does what a sender does, and returns the answer's status and the error.
func ask(t *testing.T, h *config.HTTP, to string) (int, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	c := client(h)
	defer c.CloseIdleConnections()
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func TestClientGetsTokens(t *testing.T) {
	var tokens atomic.Int64
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens.Add(1)
		_ = r.ParseForm()
		if id, secret, _ := r.BasicAuth(); id != "me" || secret != "hunter2" || r.Form.Get("scope") != "a b" || r.Form.Get("audience") != "x" {
			http.Error(w, `{"error":"invalid_client","error_description":"hunter2"}`, http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"abc","token_type":"bearer","expires_in":3600}`))
	}))
	defer issuer.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer abc" || r.Header.Get("X-Team") != "shop" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer srv.Close()
	h := &config.HTTP{
		Headers: []config.Header{{Name: "X-Team", Values: []config.Secret{"shop"}}},
		OAuth2: &config.OAuth2{
			ClientID: "me", ClientSecret: "hunter2", TokenURL: config.Secret(issuer.URL), Scopes: []string{"a", "b"},
			EndpointParams: map[string]config.Secret{"audience": "x"},
		},
	}
	for range 2 {
		if status, err := ask(t, h, srv.URL); err != nil || status != http.StatusOK {
			t.Errorf("%d, %v", status, err)
		}
	}
	if n := tokens.Load(); n != 2 { // each client has its own
		t.Errorf("%d tokens", n)
	}
	h.OAuth2.ClientSecret = "hunter22"
	if _, err := ask(t, h, srv.URL); err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestClientAsksTheProxy(t *testing.T) {
	asked := make(chan string, 2)
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Host }))
	defer proxy.Close()
	direct := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	defer direct.Close()
	u, err := url.Parse(direct.URL)
	if err != nil {
		t.Fatal(err)
	}
	h := &config.HTTP{Proxy: config.Proxy{URL: config.Secret(proxy.URL), NoProxy: "direct.example.org"}}
	if status, err := ask(t, h, "http://hook.example.org/x"); err != nil || status != http.StatusOK {
		t.Errorf("%d, %v", status, err)
	} else if host := <-asked; host != "hook.example.org" {
		t.Errorf("the proxy was asked for %s", host)
	}
	if status, err := ask(t, h, "http://localhost:"+u.Port()); err != nil || status != http.StatusAccepted { // never by a proxy
		t.Errorf("%d, %v", status, err)
	}
}
