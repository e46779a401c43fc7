package controller

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
)

// TestExecutorWithoutWebSockets: Kubernetes 1.29 refuses to upgrade to them, and
// what it then says by SPDY is told.
func TestExecutorWithoutWebSockets(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Header.Get("Upgrade"))
		if r.Header.Get("Upgrade") == "websocket" {
			http.Error(w, "unable to upgrade", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "pods is forbidden"}`)
	}))
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL + "/api/v1/namespaces/n/pods/p/exec")
	require.NoError(t, err)
	executor, err := executorFor(&rest.Config{Host: server.URL}, at)
	require.NoError(t, err)
	err = executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: t.Output()})
	require.ErrorContains(t, err, "pods is forbidden")
	assert.Equal(t, []string{"GET websocket", "POST SPDY/3.1"}, asked)
}
