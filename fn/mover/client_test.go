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
	"threescale.dev/backup/fn/api/v1alpha1"
)

// TestClient speaks to an HTTP server; the end-to-end tests have the
// real API server check the rights.
func TestClient(t *testing.T) {
	var path, contentType string
	var patch struct {
		Data map[string]string `json:"data"`
	}
	answer := func(body []byte) { assert.NoError(t, json.Unmarshal(body, &patch)) }
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, contentType = r.Method+" "+r.URL.Path, r.Header.Get("Content-Type")
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		answer(body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, err = io.WriteString(w, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"annotations":{"backup.threescale.dev/readers":"dr"}},"data":{"begun":"{\"run\":\"r\"}"}}`)
		assert.NoError(t, err)
	}))
	defer server.Close()
	client, err := newClient(&rest.Config{Host: server.URL}, "3scale")
	require.NoError(t, err)
	reporter := client.Reporter("report")

	result := job.Result{Run: "r", Completed: true, Files: 3}
	require.NoError(t, reporter.Report(t.Context(), job.KeyResult, result))
	assert.Equal(t, "PATCH /api/v1/namespaces/3scale/configmaps/report", path)
	assert.Equal(t, "application/merge-patch+json", contentType)
	got, err := job.ParseResult(patch.Data, "r")
	require.NoError(t, err)
	assert.Equal(t, &result, got, "the function reads what the mover writes")

	require.NoError(t, reporter.Report(t.Context(), job.KeyProgress, v1alpha1.Progress{Phase: "Scan", FilesDone: 1}))
	progress, err := job.ParseProgress(patch.Data)
	require.NoError(t, err)
	assert.Equal(t, &v1alpha1.Progress{Phase: "Scan", FilesDone: 1}, progress)

	var operations []struct {
		Op, Path string
		Value    map[string][]byte
	}
	answer = func(body []byte) { assert.NoError(t, json.Unmarshal(body, &operations)) }
	handover := client.Handover([]string{"first", "second"})
	assert.Equal(t, 2, handover.Parts())
	require.NoError(t, handover.Put(t.Context(), 1, map[string][]byte{"secrets.x.json": []byte("{}")}))
	assert.Equal(t, "PATCH /api/v1/namespaces/3scale/secrets/second", path)
	assert.Equal(t, "application/json-patch+json", contentType)
	require.Len(t, operations, 1)
	assert.Equal(t, "add /data", operations[0].Op+" "+operations[0].Path, "all data is replaced")
	assert.Equal(t, map[string][]byte{"secrets.x.json": []byte("{}")}, operations[0].Value)

	answer = func([]byte) {}
	readers, err := reporter.(Readers).Readers(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "GET /api/v1/namespaces/3scale/configmaps/report", path)
	assert.Equal(t, "dr", readers)
	for run, want := range map[string]bool{"r": true, "s": false} {
		begun, err := reporter.(Notes).Begun(t.Context(), run)
		require.NoError(t, err)
		assert.Equal(t, want, begun)
	}
	require.NoError(t, reporter.Report(t.Context(), job.KeyBegun, job.Begun{Run: "s"}))

	status = http.StatusForbidden
	_, err = reporter.(Readers).Readers(t.Context())
	require.ErrorContains(t, err, `cannot read configmaps "report"`)
	_, err = reporter.(Notes).Begun(t.Context(), "r")
	require.ErrorContains(t, err, `cannot read configmaps "report"`)
	require.ErrorContains(t, reporter.Report(t.Context(), job.KeyResult, result), `cannot patch configmaps "report"`)
}
