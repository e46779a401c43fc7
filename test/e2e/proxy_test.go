//go:build e2e

package e2e

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// A proxy stands between the controller and the API server, with the
// controller's own token: what a test does at a write it does at a moment that
// does not depend on how fast the machine is.
type proxy struct {
	*httptest.Server
	before atomic.Pointer[func(*http.Request) bool]
	after  atomic.Pointer[func(*http.Request)]
	// metrics is where the controller behind it serves its own.
	metrics string
}

// atWrite has a function called before each write; what it returns tells
// whether the write goes on. nil for none.
func (p *proxy) atWrite(f func(*http.Request) bool) {
	if f == nil {
		f = func(*http.Request) bool { return true }
	}
	p.before.Store(&f)
}

// afterWrite has a function called after each write that succeeded.
func (p *proxy) afterWrite(f func(*http.Request)) { p.after.Store(&f) }

// newProxy starts one. Leases and events are not writes to it.
func newProxy(t *testing.T) *proxy {
	t.Helper()
	target, err := url.Parse(shared.Config().Host)
	require.NoError(t, err)
	transport, err := rest.TransportFor(&rest.Config{TLSClientConfig: rest.TLSClientConfig{CAData: shared.Config().CAData, CAFile: shared.Config().CAFile}})
	require.NoError(t, err)
	p := &proxy{}
	p.atWrite(nil)
	p.afterWrite(func(*http.Request) {})
	forward := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1, // watches
		ModifyResponse: func(r *http.Response) error {
			if writes(r.Request) && r.StatusCode < http.StatusMultipleChoices {
				(*p.after.Load())(r.Request)
			}
			return nil
		},
	}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if writes(r) && !(*p.before.Load())(r) {
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		p.CloseClientConnections()
		p.Close()
	})
	return p
}

func writes(r *http.Request) bool {
	return r.Method != http.MethodGet && !strings.Contains(r.URL.Path, "/leases") && !strings.Contains(r.URL.Path, "/events")
}

// kubeconfig is one of an account that goes through the proxy.
func (p *proxy) kubeconfig(ctx context.Context, t *testing.T, namespace, account string) string {
	t.Helper()
	file, err := shared.AccountKubeconfig(ctx, namespace, account)
	require.NoError(t, err)
	config, err := clientcmd.LoadFromFile(file)
	require.NoError(t, err)
	for _, cluster := range config.Clusters {
		cluster.Server, cluster.CertificateAuthority, cluster.TLSServerName = p.URL, "", ""
		cluster.CertificateAuthorityData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
	}
	// Not in a folder of the test's, which the controller's user cannot enter.
	through := filepath.Join(shared.Dir(), "through-proxy-"+namespaceOf(t)+".kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*config, through))
	return through
}

// throughProxy has the controller reach the API server through a proxy, until
// the test ends.
func throughProxy(t *testing.T) *proxy {
	t.Helper()
	p := newProxy(t)
	require.NoError(t, flux.controller.Stop())
	t.Cleanup(func() {
		require.NoError(t, flux.controller.Stop())
		require.NoError(t, startController(context.WithoutCancel(t.Context())))
	})
	p.metrics = freeAddress(t)
	require.NoError(t, startControllerWith(p.kubeconfig(t.Context(), t, controllerNamespace, controllerAccount), "--metrics-addr="+p.metrics))
	return p
}

// activeWorkers is how many calls of Reconcile are under way.
const activeWorkers = "controller_runtime_active_workers"

// untilForgotten waits until the controller has nothing in hand any more, and
// knows that the tenant's restores are gone: no write of theirs comes after that.
func (p *proxy) untilForgotten(w *tenant) {
	w.t.Helper()
	w.eventually("the controller to be done with what is gone", func(context.Context) error {
		for name, filter := range map[string]string{
			activeWorkers:                           "",
			"workqueue_depth":                       "",
			"gotk_reconcile_duration_seconds_count": fmt.Sprintf("namespace=%q", w.namespace),
		} {
			if value := metric(w.t, p.metrics, name, filter); value != 0 {
				return fmt.Errorf("%s is %v", name, value)
			}
		}
		return nil
	})
}
