// Package objectstore starts an object store that speaks S3, for a test.
//
// It is versitygw with the build tag e2e, on a folder of the test, with
// versions and object lock. Without the tag it is a stand-in in the test's own
// process that starts at once. The stand-in checks no signature, so that any
// keys will do, and no checksum of a header; it has no object lock, no
// versions, no region and no STS. A test of those asks [Real] first, or calls
// [StartReal].
package objectstore

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"
)

// Server is a running object store with one bucket. It ends with the test.
type Server struct {
	Endpoint             string // host and port
	Bucket               string
	AccessKey, SecretKey string
	CA                   []byte // PEM; nil: the server speaks no TLS
	Real                 bool   // false: a stand-in
}

// Option is a choice of [Start].
type Option func(*options)

type options struct {
	tls, lock bool
	faults    *Faults
}

// TLS has the server speak TLS, with a certificate of its own CA.
func TLS() Option { return func(o *options) { o.tls = true } }

// ObjectLock makes a bucket with object lock, hence with versions. The stand-in
// has neither.
func ObjectLock() Option { return func(o *options) { o.lock = true } }

// Through has all requests pass faults.
func Through(f *Faults) Option { return func(o *options) { o.faults = f } }

// Start starts an object store: the real one with the build tag e2e.
func Start(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	if Real {
		return StartReal(tb, opts...)
	}
	return StartStandIn(tb, opts...)
}

// StartStandIn starts the stand-in, also with the build tag.
func StartStandIn(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	s, handler := standIn(tb)
	s.serve(tb, apply(opts), handler)
	return s
}

func standIn(tb testing.TB) (*Server, http.Handler) {
	tb.Helper()
	backend := s3mem.New()
	s := &Server{Bucket: "backups", AccessKey: "access", SecretKey: "a-secret-key"}
	require.NoError(tb, backend.CreateBucket(s.Bucket))
	return s, withHeaders(gofakes3.New(backend).Server())
}

func apply(opts []Option) (o options) {
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// serve listens on a port of the loopback interface.
func (s *Server) serve(tb testing.TB, o options, handler http.Handler) {
	tb.Helper()
	if o.faults != nil {
		handler = o.faults.handler(handler)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = quiet()
	if o.tls {
		server.StartTLS()
		s.CA = pemOf("CERTIFICATE", server.Certificate().Raw)
	} else {
		server.Start()
	}
	tb.Cleanup(func() {
		o.faults.end()
		server.CloseClientConnections()
		server.Close()
	})
	s.Endpoint = server.Listener.Addr().String()
}

// proxyTo passes requests on as they are: their host is part of what is signed.
func proxyTo(address string) http.Handler {
	return &httputil.ReverseProxy{
		ErrorLog: quiet(),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: address})
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{
			DisableCompression:  true,
			MaxIdleConnsPerHost: 64,
			DialContext:         (&net.Dialer{}).DialContext,
		},
	}
}
