package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

const (
	usualConnections = 32
	usualPartSize    = 16 << 20
	dialTimeout      = 15 * time.Second
	usualRegion      = "us-east-1" // what S3 calls a bucket without a region
)

// Client speaks to one bucket. Any number of goroutines may use it.
type Client struct {
	opts      Options
	transport *http.Transport
	creds     *credentials.Credentials
	identity  *identity     // of the credentials, if they are exchanged for a token
	parts     chan struct{} // bounds the parts that are sent at a time, whatever objects they belong to
	left      leftovers
	requests  atomic.Int64
	reached   atomic.Bool // the object store answered once
	served    atomic.Bool // it did what it was asked for once

	mu   sync.Mutex
	core *minio.Core // nil before the region is known
}

// New makes no request.
func New(opts Options) (*Client, error) {
	if err := s3utils.CheckValidBucketName(opts.Bucket); err != nil {
		return nil, fmt.Errorf("cannot use bucket %q: %w", opts.Bucket, err)
	}
	if opts.Connections <= 0 {
		opts.Connections = usualConnections
	}
	if opts.PartSize <= 0 {
		opts.PartSize = usualPartSize
	}
	opts.Backoff = opts.Backoff.orUsual()
	transport, err := newTransport(opts)
	if err != nil {
		return nil, err
	}
	c := &Client{opts: opts, transport: transport, parts: make(chan struct{}, opts.Connections)}
	c.creds, c.identity = newCredentials(opts, counting{c})
	if _, err := c.connect(opts.Region); err != nil {
		return nil, fmt.Errorf("cannot use endpoint %q: %w", opts.Endpoint, err)
	}
	return c, nil
}

// Close ends idle connections.
func (c *Client) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// Requests is how many requests were made so far.
func (c *Client) Requests() int64 { return c.requests.Load() }

// counting counts requests, those that fail included.
type counting struct{ c *Client }

func (t counting) RoundTrip(r *http.Request) (*http.Response, error) {
	t.c.requests.Add(1)
	response, err := t.c.transport.RoundTrip(withExpires(r))
	if err == nil {
		hideExpires(response.Header)
	}
	if q := r.URL.Query(); err == nil && (r.Method != http.MethodGet || q.Has("list-type") || q.Has("uploads") || q.Has("uploadId")) { // else it is an object
		response.Body = &boundedBody{ReadCloser: response.Body, left: maxAnswer}
	}
	return response, err
}

// maxAnswer bounds an answer that is read into memory. One that lists a thousand keys has a tenth of it at most.
const maxAnswer = 16 << 20

// boundedBody ends with an error when it is longer than an answer can be.
type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, &localError{&Error{Incompatible, fmt.Errorf("it answers with more than %d bytes", maxAnswer)}}
	}
	return n, err
}

// connect has minio-go try nothing again: only this package knows which failures last, and for how long.
func (c *Client) connect(region string) (*minio.Core, error) {
	lookup := minio.BucketLookupDNS
	if c.opts.PathStyle {
		lookup = minio.BucketLookupPath
	}
	return minio.NewCore(c.opts.Endpoint, &minio.Options{
		Creds: c.creds, Secure: !c.opts.Insecure, Transport: counting{c},
		Region: region, BucketLookup: lookup, MaxRetries: 1,
	})
}

// connected asks for the region of the bucket, once. What is not told is the usual one, since many object stores have no
// regions and take any.
func (c *Client) connected(ctx context.Context) (*minio.Core, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.core != nil {
		return c.core, nil
	}
	core, err := c.connect(c.opts.Region)
	if err != nil {
		return nil, err
	}
	region, err := core.GetBucketLocation(ctx, c.opts.Bucket)
	switch minio.ToErrorResponse(err).Code {
	case minio.NotImplemented, minio.MethodNotAllowed, "405 Method Not Allowed", "501 Not Implemented":
		region, err = usualRegion, nil
	}
	if err != nil {
		return nil, err
	}
	c.core, err = c.connect(region)
	return c.core, err
}

func newTransport(opts Options) (*http.Transport, error) {
	roots, err := rootsWith(opts.CA)
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library's own
	t.DialContext = dialer(opts)
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	t.TLSHandshakeTimeout = dialTimeout
	t.MaxIdleConnsPerHost = opts.Connections
	t.MaxIdleConns = 2 * opts.Connections
	t.IdleConnTimeout = opts.Backoff.Idle / 2 //nolint:mnd // before dialer's connections end themselves
	t.ExpectContinueTimeout = 0
	t.DisableCompression = true // bytes are those that are stored
	// One connection a request: HTTP/2 would send them all through one, and through its one window.
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	t.ForceAttemptHTTP2 = false
	if opts.Proxy != nil {
		t.Proxy = http.ProxyURL(opts.Proxy)
	}
	return t, nil
}

func rootsWith(pem []byte) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if len(pem) > 0 && !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("cannot read CA: there is no certificate in PEM in it")
	}
	return roots, nil
}

// dialer returns connections that end when nothing goes either way for so long, whatever they wait for: an answer, the
// rest of one, or room for what is sent.
func dialer(opts Options) func(context.Context, string, string) (net.Conn, error) {
	dial := opts.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return idleConn{conn, opts.Backoff.Idle}, nil
	}
}

type idleConn struct {
	net.Conn
	idle time.Duration
}

func (c idleConn) Read(b []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c idleConn) Write(b []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
