package objectstore

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/peers"
)

const (
	startTime  = time.Minute
	realRegion = "eu-central-1" // not the usual one, so that whoever does not ask for it is found out
)

// StartReal starts versitygw.
func StartReal(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	o := apply(opts)
	s := &Server{Bucket: "backups", AccessKey: "access", SecretKey: "a-secret-key", Real: true}
	direct := o.faults == nil
	g := gateway{accessKey: s.AccessKey, secretKey: s.SecretKey}
	if o.tls && direct {
		g.tls = writeCertificate(tb)
		s.CA = g.tls.ca
	}
	s.Endpoint = g.start(tb)
	s.makeBucket(tb, o.lock)
	if !direct {
		s.serve(tb, o, proxyTo(s.Endpoint))
	}
	return s
}

type gateway struct {
	accessKey, secretKey string
	tls                  *certificate
}

func (g gateway) start(tb testing.TB) string {
	tb.Helper()
	binary, err := peers.Binary(tb.Context(), "versitygw")
	require.NoError(tb, err)
	folder := tb.TempDir()
	data, versions := filepath.Join(folder, "data"), filepath.Join(folder, "versions")
	require.NoError(tb, os.Mkdir(data, 0o700))
	require.NoError(tb, os.Mkdir(versions, 0o700))
	address := freeAddress(tb)
	args := []string{"--port", address, "--region", realRegion, "--keep-alive", "--quiet"}
	if g.tls != nil {
		args = append(args, "--cert", g.tls.cert, "--key", g.tls.key)
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), binary, append(args, "posix", "--versioning-dir", versions, data)...)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+g.accessKey, "ROOT_SECRET_ACCESS_KEY="+g.secretKey)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(tb, cmd.Start())
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
		if tb.Failed() {
			tb.Logf("versitygw:\n%s", output.Bytes())
		}
	})
	require.Eventually(tb, func() bool {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(tb.Context(), "tcp", address)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, startTime, 20*time.Millisecond, "versitygw does not listen")
	return address
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	require.NoError(tb, l.Close())
	return l.Addr().String()
}

func (s *Server) makeBucket(tb testing.TB, lock bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTime)
	defer cancel()
	require.NoError(tb, s.client(tb).MakeBucket(ctx, s.Bucket, minio.MakeBucketOptions{ObjectLocking: lock}))
}

// client is that of who may do everything.
func (s *Server) client(tb testing.TB) *minio.Client {
	tb.Helper()
	transport, err := minio.DefaultTransport(s.CA != nil)
	require.NoError(tb, err)
	if s.CA != nil {
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(s.CA)
	}
	transport.DisableKeepAlives = true
	client, err := minio.New(s.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Secure: s.CA != nil, Transport: transport, Region: realRegion,
	})
	require.NoError(tb, err)
	return client
}

type certificate struct {
	ca        []byte
	cert, key string // files
}

// writeCertificate takes the certificate that httptest has for the loopback
// interface, which is its own CA.
func writeCertificate(tb testing.TB) *certificate {
	tb.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(tb, err)
	c := &certificate{ca: pemOf("CERTIFICATE", pair.Certificate[0])}
	folder := tb.TempDir()
	c.cert, c.key = filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	require.NoError(tb, os.WriteFile(c.cert, c.ca, 0o600))
	require.NoError(tb, os.WriteFile(c.key, pemOf("PRIVATE KEY", key), 0o600))
	_, err = tls.LoadX509KeyPair(c.cert, c.key)
	require.NoError(tb, err)
	return c
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// quiet drops what a server logs about connections that tests break.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
