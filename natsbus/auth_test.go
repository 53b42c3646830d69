package natsbus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// joins checks that a server takes us with o and does not without.
func joins(t *testing.T, url string, o Options) {
	t.Helper()
	o.URL = url
	b := open(t, o)
	if err := b.EnsureStreams(t.Context(), Limits{}); err != nil {
		t.Error(err)
	}
	if _, err := Open(t.Context(), Options{URL: url}); err == nil {
		t.Error("the server takes anybody")
	}
}

func file(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func seed(t *testing.T, kp nkeys.KeyPair) []byte {
	t.Helper()
	s, err := kp.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func public(t *testing.T, kp nkeys.KeyPair) string {
	t.Helper()
	p, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func pair(t *testing.T, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	kp, err := create()
	if err != nil {
		t.Fatal(err)
	}
	return kp
}

func TestJoinWithToken(t *testing.T) {
	url := foreign(t, server.Options{JetStream: true, Authorization: "t0ken"})
	joins(t, url, Options{Token: "t0ken"})
	_, err := Open(t.Context(), Options{URL: url, Token: "wr0ng"})
	mustFail(t, err, "refused us")
	if strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("token in %v", err)
	}
}

func TestJoinWithNKey(t *testing.T) {
	user := pair(t, nkeys.CreateUser)
	url := foreign(t, server.Options{JetStream: true, Nkeys: []*server.NkeyUser{{Nkey: public(t, user)}}})
	joins(t, url, Options{NKeyFile: file(t, "user.nk", seed(t, user))})
}

func TestJoinWithCreds(t *testing.T) {
	operator, account, user := pair(t, nkeys.CreateOperator), pair(t, nkeys.CreateAccount), pair(t, nkeys.CreateUser)
	oc := jwt.NewOperatorClaims(public(t, operator))
	oc.Name = "o"
	signed, err := oc.Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	if oc, err = jwt.DecodeOperatorClaims(signed); err != nil {
		t.Fatal(err)
	}
	system := pair(t, nkeys.CreateAccount)
	resolver := &server.MemAccResolver{}
	for _, kp := range []nkeys.KeyPair{account, system} {
		ac := jwt.NewAccountClaims(public(t, kp))
		if kp == account {
			ac.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
		}
		accountJWT, err := ac.Encode(operator)
		if err != nil {
			t.Fatal(err)
		}
		if err := resolver.Store(public(t, kp), accountJWT); err != nil {
			t.Fatal(err)
		}
	}
	userJWT, err := jwt.NewUserClaims(public(t, user)).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(userJWT, seed(t, user))
	if err != nil {
		t.Fatal(err)
	}
	url := foreign(t, server.Options{
		JetStream: true, TrustedOperators: []*jwt.OperatorClaims{oc}, AccountResolver: resolver, SystemAccount: public(t, system),
	})
	joins(t, url, Options{CredsFile: file(t, "user.creds", creds)})
}

func TestJoinWithClientCertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "alertd test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	own, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	url := foreign(t, server.Options{JetStream: true, TLS: true, TLSTimeout: 5, TLSVerify: true, TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	}})
	certFile, keyFile := file(t, "cert.pem", certPEM), file(t, "key.pem", keyPEM)
	joins(t, url, Options{TLS: &TLS{CAFile: certFile, CertFile: certFile, KeyFile: keyFile}})
}
