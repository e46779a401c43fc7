//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/cluster/ports"
	"threescale.dev/backup/test/monitoring"
	"threescale.dev/backup/test/peers"
)

// monitor is a Prometheus, and the kube-state-metrics that it scrapes.
type monitor struct {
	*tenant
	base             *monitoring.Base
	kubeStateMetrics *cluster.Process
	// address of Prometheus.
	address string
}

// sample is an element of an instant vector.
type sample struct {
	Metric map[string]string `json:"metric"`
	Value  [2]any            `json:"value"`
}

// freeAddress is one on this machine that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := ports.Free(t.Context())
	require.NoError(t, err)
	return ports.Local(port)
}

// startMonitor starts both, with what manifests/monitoring holds.
func (w *tenant) startMonitor(controller string) *monitor {
	w.t.Helper()
	base, err := monitoring.Load("../..")
	require.NoError(w.t, err)
	m := &monitor{tenant: w, base: base, address: freeAddress(w.t)}
	metrics := m.startKubeStateMetrics()
	m.startPrometheus(map[string]string{"kube-state-metrics": metrics, "threescale-backup": controller})
	return m
}

// startKubeStateMetrics starts it as a ServiceAccount with the shipped
// ClusterRole and no other right, and returns where it serves.
func (m *monitor) startKubeStateMetrics() string {
	m.t.Helper()
	binary, err := peers.Binary(m.t.Context(), "kube-state-metrics")
	require.NoError(m.t, err)
	require.NoError(m.t, m.c.ApplyYAML(m.t.Context(), m.base.ClusterRole))
	m.admin("create", "serviceaccount", "kube-state-metrics")
	m.admin("create", "clusterrolebinding", monitoring.ConfigName, "--clusterrole="+monitoring.ConfigName, "--serviceaccount="+m.namespace+":kube-state-metrics")
	m.t.Cleanup(func() {
		_, err := m.c.Kubectl(context.WithoutCancel(m.t.Context()), "", "delete", "clusterrole,clusterrolebinding", monitoring.ConfigName)
		require.NoError(m.t, err)
	})
	kubeconfig, err := m.c.AccountKubeconfig(m.t.Context(), m.namespace, "kube-state-metrics")
	require.NoError(m.t, err)
	host, port, err := net.SplitHostPort(freeAddress(m.t))
	require.NoError(m.t, err)
	_, telemetry, err := net.SplitHostPort(freeAddress(m.t))
	require.NoError(m.t, err)
	m.kubeStateMetrics = m.start("kube-state-metrics", binary,
		"--kubeconfig="+kubeconfig, "--custom-resource-state-only", "--custom-resource-state-config-file="+m.file("config.yaml", m.base.ConfigFile),
		"--host="+host, "--port="+port, "--telemetry-host="+host, "--telemetry-port="+telemetry)
	return net.JoinHostPort(host, port)
}

// startPrometheus starts it, and waits until it answers. The label namespace of
// the targets is what the operator of Prometheus gives them.
func (m *monitor) startPrometheus(targets map[string]string) {
	m.t.Helper()
	binary, err := exec.LookPath("prometheus")
	require.NoError(m.t, err, "apt-get install prometheus")
	var jobs strings.Builder
	for job, address := range targets {
		fmt.Fprintf(&jobs, "- {job_name: %s, static_configs: [{targets: [%q], labels: {namespace: monitoring}}]}\n", job, address)
	}
	rules := m.file("rules.yaml", m.base.RuleFile)
	config := m.file("prometheus.yaml", fmt.Appendf(nil, "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\nscrape_configs:\n%s", rules, jobs.String()))
	m.start("prometheus", binary, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(m.t.TempDir(), "data"), "--web.listen-address="+m.address)
	m.eventually("Prometheus", func(context.Context) error { _, err := m.tryQuery("vector(1)"); return err })
}

// start starts a process that ends with the test.
func (m *monitor) start(name, path string, args ...string) *cluster.Process {
	m.t.Helper()
	process, err := m.c.StartProcess(cluster.ProcessOptions{Name: name, Path: path, Args: args})
	require.NoError(m.t, err)
	m.t.Cleanup(func() { require.NoError(m.t, process.Stop()) })
	return process
}

// file writes a file and returns its path.
func (m *monitor) file(name string, data []byte) string {
	m.t.Helper()
	path := filepath.Join(m.t.TempDir(), name)
	require.NoError(m.t, os.WriteFile(path, data, 0o600))
	return path
}

// tryQuery runs a query through Prometheus' API.
func (m *monitor) tryQuery(expr string) ([]sample, error) {
	response, err := http.Get("http://" + m.address + "/api/v1/query?" + url.Values{"query": {expr}}.Encode())
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Error    string   `json:"error"`
		Warnings []string `json:"warnings"`
		Data     struct {
			Result []sample `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("cannot read answer %s: %w", response.Status, err)
	}
	if answer.Error != "" || len(answer.Warnings) > 0 {
		return nil, fmt.Errorf("cannot run query %q: %s %v", expr, answer.Error, answer.Warnings)
	}
	return answer.Data.Result, nil
}

// query runs a query, which may not fail.
func (m *monitor) query(expr string) []sample {
	m.t.Helper()
	result, err := m.tryQuery(expr)
	require.NoError(m.t, err)
	return result
}

// one runs a query that has one result.
func (m *monitor) one(expr string) sample {
	m.t.Helper()
	result := m.query(expr)
	require.Len(m.t, result, 1, expr)
	return result[0]
}

// value runs a query that has one result, and returns its value.
func (m *monitor) value(expr string) float64 {
	m.t.Helper()
	value, err := number(m.one(expr))
	require.NoError(m.t, err)
	return value
}

func number(s sample) (float64, error) {
	text, ok := s.Value[1].(string)
	if !ok {
		return 0, errors.New("no value")
	}
	return strconv.ParseFloat(text, 64)
}

// untilValue waits until a query has one result, and that value.
func (m *monitor) untilValue(expr string, want float64) {
	m.t.Helper()
	m.eventually(fmt.Sprintf("%s to be %f", expr, want), func(context.Context) error {
		result, err := m.tryQuery(expr)
		if err != nil {
			return err
		}
		if len(result) != 1 {
			return fmt.Errorf("there are %d results", len(result))
		}
		if got, err := number(result[0]); err != nil || got != want {
			return fmt.Errorf("it is %f: %w", got, err)
		}
		return nil
	})
}

// of selects a metric of an object of the tenant's.
func (m *monitor) of(metric, name string, labels ...string) string {
	return fmt.Sprintf("%s{%s}", metric, strings.Join(append([]string{fmt.Sprintf("exported_namespace=%q,name=%q", m.namespace, name)}, labels...), ","))
}

// seconds is a time of a status as a metric has it.
func seconds(t *testing.T, value any) float64 {
	t.Helper()
	text, _ := value.(string)
	at, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return float64(at.Unix())
}
