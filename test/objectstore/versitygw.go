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
func StartReal(t testing.TB, opts ...Option) *Server {
	t.Helper()
	o := apply(opts)
	s := &Server{Bucket: "backups", AccessKey: "access", SecretKey: "a-secret-key", Real: true}
	direct := o.faults == nil
	g := gateway{accessKey: s.AccessKey, secretKey: s.SecretKey}
	if o.tls && direct {
		g.tls = writeCertificate(t)
		s.CA = g.tls.ca
	}
	s.Endpoint = g.start(t)
	s.makeBucket(t, o.lock)
	if !direct {
		s.serve(t, o, proxyTo(s.Endpoint))
	}
	return s
}

type gateway struct {
	accessKey, secretKey string
	tls                  *certificate
}

func (g gateway) start(t testing.TB) string {
	t.Helper()
	binary, err := peers.Binary(t.Context(), "versitygw")
	require.NoError(t, err)
	folder := t.TempDir()
	data, versions := filepath.Join(folder, "data"), filepath.Join(folder, "versions")
	require.NoError(t, os.Mkdir(data, 0o700))
	require.NoError(t, os.Mkdir(versions, 0o700))
	address := freeAddress(t)
	args := []string{"--port", address, "--region", realRegion, "--keep-alive", "--quiet"}
	if g.tls != nil {
		args = append(args, "--cert", g.tls.cert, "--key", g.tls.key)
	}
	var output bytes.Buffer
	cmd := exec.Command(binary, append(args, "posix", "--versioning-dir", versions, data)...)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+g.accessKey, "ROOT_SECRET_ACCESS_KEY="+g.secretKey)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
		if t.Failed() {
			t.Logf("versitygw:\n%s", output.Bytes())
		}
	})
	require.Eventually(t, func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, startTime, 20*time.Millisecond, "versitygw does not listen")
	return address
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func (s *Server) makeBucket(t testing.TB, lock bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	transport, err := minio.DefaultTransport(s.CA != nil)
	require.NoError(t, err)
	if s.CA != nil {
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(s.CA)
	}
	client, err := minio.New(s.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Secure: s.CA != nil, Transport: transport, Region: realRegion,
	})
	require.NoError(t, err)
	require.NoError(t, client.MakeBucket(ctx, s.Bucket, minio.MakeBucketOptions{ObjectLocking: lock}))
	transport.CloseIdleConnections()
}

type certificate struct {
	ca        []byte
	cert, key string // files
}

// writeCertificate takes the certificate that httptest has for the loopback
// interface, which is its own CA.
func writeCertificate(t testing.TB) *certificate {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	c := &certificate{ca: pemOf("CERTIFICATE", pair.Certificate[0])}
	c.cert, c.key = filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	require.NoError(t, os.WriteFile(c.cert, c.ca, 0o600))
	require.NoError(t, os.WriteFile(c.key, pemOf("PRIVATE KEY", key), 0o600))
	_, err = tls.LoadX509KeyPair(c.cert, c.key)
	require.NoError(t, err)
	return c
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// quiet drops what a server logs about connections that tests break.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
