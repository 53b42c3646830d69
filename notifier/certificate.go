package notifier

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// aboutTLS says what is wrong between us and a server where TLS could not begin, and what to change; nil if it is something else.
// Of the URL, which is a secret, it names the host.
func aboutTLS(err error) error {
	host := "the server"
	if ue, ok := errors.AsType[*url.Error](err); ok {
		if u, bad := url.Parse(ue.URL); bad == nil && u.Host != "" {
			host = u.Host
		}
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return fmt.Errorf("the certificate of %s is valid from %s to %s only: renew it there, or set this machine's clock right",
			host, invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339))
	}
	if name, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Errorf("the certificate of %s is not for %s but for %s: use its name in the URL, or give it as server_name in tls_config of http_config",
			host, name.Host, Line(certificateNames(name.Certificate), 200))
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("the certificate of %s is signed by somebody whom this machine does not know: give the file of that authority as ca_file in tls_config of http_config", host)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("the certificate of %s is refused: %w", host, withoutURL(err))
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return fmt.Errorf("%s does not speak TLS: write http:// for https:// in the URL, or another port", host)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return fmt.Errorf("%s ended TLS (%w): if it wants a certificate of alertd, give cert_file and key_file in tls_config of http_config", host, op.Err)
	}
	return nil
}

// certificateNames are whom a certificate is for.
func certificateNames(c *x509.Certificate) string {
	names := c.DNSNames
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}
