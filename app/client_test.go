package app

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"

	"alertd/config"
)

func TestClientSpeaksAsHTTPConfigSays(t *testing.T) {
	var got string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") }))
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
	if got != "Bearer abc" || req.Header.Get("Authorization") != "" {
		t.Errorf("the server got %q, the caller's request has %q", got, req.Header.Get("Authorization"))
	}
	if resp, err := client(nil).Do(req); err == nil {
		resp.Body.Close()
		t.Error("a certificate that nobody named was trusted")
	}
}
