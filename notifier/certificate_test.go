package notifier_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"alertd"
	"alertd/notifier"
)

// certificate signs itself, for the given addresses and time.
func certificate(t *testing.T, ips []net.IP, from, to time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: from, NotAfter: to, IPAddresses: ips, DNSNames: []string{"hooks.example.com"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// Whatever keeps TLS from beginning, the error says so in words, whose server it is and what to change, and holds nothing of the URL's path.
func TestTLSErrorsSayWhatToChange(t *testing.T) {
	now := time.Now()
	here := []net.IP{net.IPv4(127, 0, 0, 1)}
	for name, c := range map[string]struct {
		ips      []net.IP
		from, to time.Time
		unknown  bool // our client does not know the authority
		demands  bool // the server wants a certificate of ours
		plain    bool // the server does not speak TLS
		want     []string
	}{
		"expired":   {ips: here, from: now.Add(-48 * time.Hour), to: now.Add(-24 * time.Hour), want: []string{"is valid from", now.Add(-24 * time.Hour).UTC().Format("2006-01-02T15:04"), "renew it"}},
		"too early": {ips: here, from: now.Add(24 * time.Hour), to: now.Add(48 * time.Hour), want: []string{"is valid from", "clock"}},
		"name":      {from: now.Add(-time.Hour), to: now.Add(time.Hour), want: []string{"is not for 127.0.0.1 but for hooks.example.com", "server_name"}},
		"authority": {ips: here, from: now.Add(-time.Hour), to: now.Add(time.Hour), unknown: true, want: []string{"does not know", "ca_file"}},
		"client":    {ips: here, from: now.Add(-time.Hour), to: now.Add(time.Hour), demands: true, want: []string{"cert_file and key_file"}},
		"plain":     {plain: true, want: []string{"does not speak TLS", "http://"}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			srv.Config.ErrorLog = log.New(io.Discard, "", 0)
			pool := x509.NewCertPool()
			if c.plain {
				srv.Start()
			} else {
				cert, own := certificate(t, c.ips, c.from, c.to)
				if !c.unknown {
					pool = own
				}
				srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
				if c.demands {
					srv.TLS.ClientAuth = tls.RequireAnyClientCert
					srv.TLS.MaxVersion = tls.VersionTLS12 // with 1.3 the client may be sending already when it is refused: then the outcome is unknown
				}
				srv.StartTLS()
			}
			defer srv.Close()
			host := srv.Listener.Addr().String()
			client := notifier.NewClientWith(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil, nil)
			_, err := notifier.Post(t.Context(), client, "https://"+host+"/T0KEN", http.Header{}, []byte("{}"), now)
			if err == nil {
				t.Fatal("it was sent")
			}
			for _, part := range append(c.want, host) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error lacks %q: %v", part, err)
				}
			}
			if strings.Contains(err.Error(), "T0KEN") {
				t.Errorf("the path is in %v", err)
			}
			if err.Outcome != alertd.Retry || err.Class != alertd.FailureNetwork {
				t.Errorf("%s, %s: a certificate may be renewed", err.Outcome, err.Class)
			}
		})
	}
}
