package publish

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const proxyUser, proxyPassword = "pat", "proxy-password"

// splice copies between two connections until one side is done.
func splice(a, b net.Conn) {
	go func() {
		_, _ = io.Copy(a, b)
		_ = a.Close()
	}()
	_, _ = io.Copy(b, a)
	_ = b.Close()
}

// hijacked is a connection whose first bytes the HTTP server may have read.
type hijacked struct {
	net.Conn
	buffered *bufio.ReadWriter
}

func (h hijacked) Read(p []byte) (int, error) { return h.buffered.Read(p) }

// httpProxy is a proxy of HTTP that wants a login, and counts what it lets through.
func httpProxy(t *testing.T) (*url.URL, *atomic.Int32) {
	t.Helper()
	var passed atomic.Int32
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.Header.Del("Proxy-Authorization") }}
	login := "Basic " + base64.StdEncoding.EncodeToString([]byte(proxyUser+":"+proxyPassword))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != login {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		passed.Add(1)
		if r.Method != http.MethodConnect {
			forward.ServeHTTP(w, r)
			return
		}
		server, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
		client, buffered, err := http.NewResponseController(w).Hijack()
		if err == nil {
			splice(hijacked{client, buffered}, server)
		}
	}))
	t.Cleanup(s.Close)
	address, err := url.Parse(s.URL)
	require.NoError(t, err)
	address.User = url.UserPassword(proxyUser, proxyPassword)
	return address, &passed
}

// socksProxy is a proxy of SOCKS 5 (RFC 1928) with a login (RFC 1929).
func socksProxy(t *testing.T) (*url.URL, *atomic.Int32) {
	t.Helper()
	var passed atomic.Int32
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				if server := greet(client); server != nil {
					passed.Add(1)
					splice(client, server)
				}
				_ = client.Close()
			}()
		}
	}()
	return &url.URL{Scheme: "socks5", Host: listener.Addr().String(), User: url.UserPassword(proxyUser, proxyPassword)}, &passed
}

// greet does what comes before the data: method, login, request. It returns nil
// for whoever has not the login.
func greet(client net.Conn) net.Conn {
	read := func(n int) []byte {
		data := make([]byte, n)
		_, _ = io.ReadFull(client, data)
		return data
	}
	read(int(read(2)[1]))                // methods
	_, _ = client.Write([]byte{5, 0x02}) // a login
	user := read(int(read(2)[1]))
	password := read(int(read(1)[0]))
	if string(user) != proxyUser || string(password) != proxyPassword {
		_, _ = client.Write([]byte{1, 1})
		return nil
	}
	_, _ = client.Write([]byte{1, 0})
	var host string
	switch head := read(4); head[3] {
	case 1:
		host = net.IP(read(4)).String()
	case 3:
		host = string(read(int(read(1)[0])))
	}
	port := binary.BigEndian.Uint16(read(2))
	server, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		return nil
	}
	_, _ = client.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	return server
}

// TestPublishThroughAProxy: all of it goes through, with the proxy's own login,
// and a wrong one is told without being shown.
func TestPublishThroughAProxy(t *testing.T) {
	cases := map[string]struct {
		reason string
		proxy  func(*testing.T) (*url.URL, *atomic.Int32)
		target func(*testing.T, *server) Target
	}{
		"HTTP": {"requests are forwarded", httpProxy, func(_ *testing.T, s *server) Target { return s.target() }},
		"HTTPS": {"by CONNECT", httpProxy, func(t *testing.T, s *server) Target {
			cert, key := certificate(t)
			s.StopHTTP()
			require.NoError(t, s.StartHTTPS(cert, key, cert, "127.0.0.1"))
			target := s.target()
			target.Auth = map[string][]byte{"ca.crt": cert}
			return target
		}},
		"SSH": {"by SOCKS 5", socksProxy, func(t *testing.T, s *server) Target { return s.sshTarget(t) }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := serveSeeded(t, map[string]string{"README.md": "1"})
			target := tc.target(t, s)
			address, passed := tc.proxy(t)
			target.ProxyURL = address
			result, err := Publish(t.Context(), target, folders, commitOf("one"), writing(someFiles))
			require.NoError(t, err, tc.reason)
			assert.True(t, result.Pushed)
			assert.NotZero(t, passed.Load(), "it went through the proxy")
			assert.Equal(t, result.Commit, s.commits(t, "main")[0])

			before := passed.Load()
			address.User = url.UserPassword(proxyUser, "wrong-password")
			_, err = Publish(t.Context(), target, folders, commitOf("two"), writing(someFiles))
			require.Error(t, err)
			assert.NotContains(t, err.Error(), "wrong-password")
			assert.Equal(t, before, passed.Load(), "and not beside it")
		})
	}
}
