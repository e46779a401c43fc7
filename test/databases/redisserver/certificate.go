package redisserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/databases/internal/process"
)

// Authority signs certificates.
type Authority struct {
	CA []byte // PEM

	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes an authority that nobody knows.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := template("authority", time.Hour)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(tb, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	return &Authority{CA: encode("CERTIFICATE", der), certificate: certificate, key: key}
}

func template(name string, valid time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(valid),
	}
}

// Issue makes a certificate for 127.0.0.1 and a client, both PEM. Names replace 127.0.0.1; a certificate that is valid
// for less than no time has expired.
func (a *Authority) Issue(tb testing.TB, valid time.Duration, names ...string) (certificate, key []byte) {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := template("server", valid)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if template.DNSNames = names; len(names) == 0 {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, private.Public(), a.key)
	require.NoError(tb, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(tb, err)
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", pkcs8)
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// TLS returns the lines of a configuration that has a server speak nothing but TLS, with a certificate and its key.
// clients says whether it wants one of a client: yes, no, or optional.
func (a *Authority) TLS(tb testing.TB, certificate, key []byte, clients string) []string {
	tb.Helper()
	dir := process.Dir(tb, "redis-tls-")
	write := func(name string, data []byte) string { return process.Write(tb, dir, name, data) }
	return []string{
		"port 0", "tls-port $PORT", "tls-auth-clients " + clients, "tls-replication yes",
		"tls-cert-file " + write("tls.crt", certificate), "tls-key-file " + write("tls.key", key), "tls-ca-cert-file " + write("ca.crt", a.CA),
	}
}
