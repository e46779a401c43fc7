package mover

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"threescale.dev/backup/fn/api/job"
)

// TestConfigMapReporter speaks to an HTTP server; the end-to-end tests have the
// real API server check the rights.
func TestConfigMapReporter(t *testing.T) {
	var path, contentType string
	var patch struct {
		Data map[string]string `json:"data"`
	}
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, contentType = r.Method+" "+r.URL.Path, r.Header.Get("Content-Type")
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.NoError(t, json.Unmarshal(body, &patch))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, err = io.WriteString(w, `{"apiVersion":"v1","kind":"ConfigMap"}`)
		assert.NoError(t, err)
	}))
	defer server.Close()
	reporter, err := newConfigMapReporter(&rest.Config{Host: server.URL}, "3scale", "report")
	require.NoError(t, err)

	result := job.Result{Run: "r", Completed: true, Files: 3}
	require.NoError(t, reporter.Result(t.Context(), result))
	assert.Equal(t, "PATCH /api/v1/namespaces/3scale/configmaps/report", path)
	assert.Equal(t, "application/merge-patch+json", contentType)
	got, err := job.ParseResult(patch.Data, "r")
	require.NoError(t, err)
	assert.Equal(t, &result, got, "the function reads what the mover writes")

	require.NoError(t, reporter.Progress(t.Context(), job.Progress{Phase: "Scan", FilesDone: 1}))
	progress, err := job.ParseProgress(patch.Data)
	require.NoError(t, err)
	assert.Equal(t, &job.Progress{Phase: "Scan", FilesDone: 1}, progress)

	status = http.StatusForbidden
	require.ErrorContains(t, reporter.Result(t.Context(), result), `cannot patch ConfigMap "report"`)
}
