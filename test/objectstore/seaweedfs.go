package objectstore

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/peers"
	"threescale.dev/backup/test/seaweedfs"
)

// StartSeaweedFS starts another real object store, which knows other ways to
// fail. It has a security token service at the same endpoint, which exchanges
// tokens that it is told to trust; trust may be nil.
func StartSeaweedFS(tb testing.TB, trust *seaweedfs.Trust, opts ...Option) *Server {
	tb.Helper()
	o := apply(opts)
	s := &Server{Bucket: "backups", AccessKey: "access", SecretKey: "a-secret-key", Real: true}
	dir, err := os.MkdirTemp("", "seaweedfs-") //nolint:usetesting // that folder may have a comma in its name, which stands between folders here
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, os.RemoveAll(dir)) })
	prepared := seaweedfs.Options{Dir: dir, Host: "127.0.0.1", AccessKey: s.AccessKey, SecretKey: s.SecretKey}
	if trust != nil {
		told := *trust
		told.Bucket = s.Bucket
		prepared.Trust = &told
	}
	direct := o.faults == nil
	if o.tls && direct {
		certificate := writeCertificate(tb)
		prepared.Cert, prepared.Key, s.CA = certificate.cert, certificate.key, certificate.ca
	}
	server, err := seaweedfs.Prepare(tb.Context(), prepared)
	require.NoError(tb, err)
	startSeaweedFS(tb, server)
	s.Endpoint = server.Endpoint
	s.awaitBucket(tb, o.lock)
	if !direct {
		s.serve(tb, o, proxyTo(s.Endpoint))
	}
	return s
}

func startSeaweedFS(tb testing.TB, server *seaweedfs.Server) {
	tb.Helper()
	binary, err := peers.Binary(tb.Context(), seaweedfs.Peer)
	require.NoError(tb, err)
	var output bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), binary, server.Args...)
	cmd.Env = append(os.Environ(), server.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(tb, cmd.Start())
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
		for _, socket := range server.Leftovers() {
			_ = os.Remove(socket)
		}
		if tb.Failed() {
			tb.Logf("SeaweedFS:\n%s", output.Bytes())
		}
	})
}

// awaitBucket makes the bucket as soon as the server does that, and returns when
// there is room for objects.
func (s *Server) awaitBucket(tb testing.TB, lock bool) {
	tb.Helper()
	client := s.client(tb)
	require.Eventually(tb, func() bool {
		if err := client.MakeBucket(tb.Context(), s.Bucket, minio.MakeBucketOptions{ObjectLocking: lock}); err != nil && !made(err) {
			return false
		}
		_, err := client.PutObject(tb.Context(), s.Bucket, "first", strings.NewReader("x"), 1, minio.PutObjectOptions{})
		return err == nil && client.RemoveObject(tb.Context(), s.Bucket, "first", minio.RemoveObjectOptions{}) == nil
	}, startTime, 50*time.Millisecond, "SeaweedFS stores nothing")
}

func made(err error) bool { return minio.ToErrorResponse(err).StatusCode == http.StatusConflict }
