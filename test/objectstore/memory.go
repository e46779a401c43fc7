package objectstore

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Dial connects to an object store that listens nowhere.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// StartInMemory starts the stand-in without a network, so that client and
// server can be in one bubble of testing/synctest. If each request is delayed
// there by a second (Always, Any, Delay), then as many seconds pass as requests
// were made one after another: the time counts round trips, whatever else the
// machine does.
func StartInMemory(tb testing.TB, opts ...Option) (*Server, Dial) {
	tb.Helper()
	l := &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
	o := apply(opts)
	s, handler := standIn(tb)
	if o.faults != nil {
		handler = o.faults.handler(handler)
	}
	server := &http.Server{Handler: handler, ErrorLog: quiet()}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	tb.Cleanup(func() {
		o.faults.end()
		assert.NoError(tb, server.Close())
		assert.ErrorIs(tb, <-served, http.ErrServerClosed)
	})
	s.Endpoint = l.Addr().String()
	return s, l.dial
}

// pipes is a listener whose connections are in memory.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.accepted <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepted:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
