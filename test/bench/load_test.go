//go:build bench

package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/function"
	"threescale.dev/backup/fn/simulate"
	"threescale.dev/backup/test/dataset"
	"threescale.dev/backup/test/peers"
)

const (
	loadPairs   = 7
	loadCallers = 8
	loadCalls   = 600
	// smallLimit is what the function limited itself to once: more garbage is
	// collected at each call than needs be.
	smallLimit = "GOMEMLIMIT=24MiB"
)

// TestAgainstLoad measures what a call costs when Crossplane makes as many as it can, and the most memory that the function
// takes, against the same with a small limit of memory. It counts the time of processors, which neighbours change less than
// the time that passes: the function has as many callers as keep all of them busy.
func TestAgainstLoad(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "function")
	require.NoError(t, peers.Build(t.Context(), "./fn/cmd/function", binary))
	request := aSnapshot(t)
	var ratios []float64
	for range loadPairs {
		ours, limited := load(t, binary, request), load(t, binary, request, smallLimit)
		t.Logf("function, %d callers: %s; with %s: %s", loadCallers, ours, smallLimit, limited)
		ratios = append(ratios, float64(ours.cpu)/float64(limited.cpu))
	}
	slices.Sort(ratios)
	t.Logf("median ratio of the time of processors: %.2f", ratios[len(ratios)/2])
	require.Less(t, ratios[len(ratios)/2], 1.0)
}

// loaded is one process that answered loadCalls.
type loaded struct {
	cpu, wall time.Duration
	peak      int64 // KiB
}

func (l loaded) String() string {
	return fmt.Sprintf("%.2f ms of processors a call, %.0f calls/s, %d MiB", l.cpu.Seconds()*1000/loadCalls, loadCalls/l.wall.Seconds(), l.peak>>10)
}

// recorded is a function that keeps its last request.
type recorded struct{ last *fnv1.RunFunctionRequest }

func (r *recorded) RunFunction(ctx context.Context, request *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	r.last = proto.CloneOf(request)
	return function.New(logging.NewNopLogger()).RunFunction(ctx, request)
}

// aSnapshot is the call that composes the snapshot of an installation.
func aSnapshot(t *testing.T) *fnv1.RunFunctionRequest {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "examples", "completed", "xr.yaml"))
	require.NoError(t, err)
	xr := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal(data, &xr.Object))
	r := &recorded{}
	w := simulate.NewWorld(r, xr, dataset.Installation(dataset.Options{Seed: 1}))
	w.Now = time.Now
	w.Put(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "x", "reclaimPolicy": "Retain",
		"metadata": map[string]any{"name": "standard", "annotations": map[string]any{"storageclass.kubernetes.io/is-default-class": "true"}},
	}})
	response, err := w.Reconcile(t.Context())
	require.NoError(t, err)
	t.Logf("a request of %d bytes, an answer of %d resources", proto.Size(r.last), len(response.GetDesired().GetResources()))
	require.Greater(t, len(response.GetDesired().GetResources()), 20)
	return r.last
}

// load has a process answer.
func load(t *testing.T, binary string, request *fnv1.RunFunctionRequest, env ...string) (l loaded) {
	t.Helper()
	dir, err := os.MkdirTemp("", "load") // a socket's path has to be short
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	cmd := exec.CommandContext(t.Context(), binary, "--insecure", "--network", "unix", "--address", socket, "--metrics-address", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), env...)
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill() // it serves until then
		_ = cmd.Wait()         // killed
		l.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}()
	connection, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer connection.Close()
	client := fnv1.NewFunctionRunnerServiceClient(connection)
	_, err = client.RunFunction(t.Context(), request, grpc.WaitForReady(true))
	require.NoError(t, err)
	var callers sync.WaitGroup
	begin := time.Now()
	for range loadCallers {
		callers.Go(func() {
			for range loadCalls / loadCallers {
				_, err := client.RunFunction(t.Context(), request)
				assert.NoError(t, err)
			}
		})
	}
	callers.Wait()
	l.wall, l.peak = time.Since(begin), peakOf(t, cmd.Process.Pid)
	return l
}

// peakOf is the most memory that a process has held since it became its program, in KiB.
func peakOf(t *testing.T, pid int) (peak int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &peak); err == nil {
			return peak
		}
	}
	require.Fail(t, "the kernel tells no peak")
	return 0
}
