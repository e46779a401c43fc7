//go:build bench

package bench

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/test/peers"
)

const (
	starts = 20
	// startLimit is how long Crossplane may wait for a pod of the function that
	// has just been started.
	startLimit = 300 * time.Millisecond
)

// TestAgainstStartLimit measures from the start of the function's process to its
// first answer.
func TestAgainstStartLimit(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "function")
	require.NoError(t, peers.Build(t.Context(), "./fn/cmd/function", binary))
	request := aRequest(t)
	samples := make([]time.Duration, 0, starts)
	for n := range starts {
		samples = append(samples, firstAnswer(t, binary, strconv.Itoa(n), request))
	}
	slices.Sort(samples)
	median := samples[starts/2]
	t.Logf("function, start to first answer: median of %d starts %s, %s to %s", starts, median, samples[0], samples[starts-1])
	require.Less(t, median, startLimit)
}

// aRequest is the first call for a composite: its answer asks for what else the
// function has to see.
func aRequest(t *testing.T) *fnv1.RunFunctionRequest {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "examples", "completed", "xr.yaml"))
	require.NoError(t, err)
	var xr map[string]any
	require.NoError(t, yaml.Unmarshal(data, &xr))
	composite, err := structpb.NewStruct(xr)
	require.NoError(t, err)
	input, err := structpb.NewStruct(map[string]any{"apiVersion": "backup.threescale.dev/v1alpha1", "kind": "Input", "image": "registry.example.com/a:v1"})
	require.NoError(t, err)
	return &fnv1.RunFunctionRequest{Input: input, Observed: &fnv1.State{Composite: &fnv1.Resource{Resource: composite}}}
}

func firstAnswer(t *testing.T, binary, name string, request *fnv1.RunFunctionRequest) time.Duration {
	t.Helper()
	dir, err := os.MkdirTemp("", "start") // a socket's path has to be short
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, name)
	connection, err := grpc.NewClient("unix:"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: time.Millisecond, Multiplier: 1, MaxDelay: time.Millisecond}, MinConnectTimeout: time.Second}))
	require.NoError(t, err)
	defer connection.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // one that does not start would never be ready
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "--insecure", "--network", "unix", "--address", socket, "--metrics-address", "127.0.0.1:0")
	start := time.Now()
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill() // it serves until then
		_ = cmd.Wait()         // killed
	}()
	response, err := fnv1.NewFunctionRunnerServiceClient(connection).RunFunction(ctx, request, grpc.WaitForReady(true))
	took := time.Since(start)
	require.NoError(t, err)
	require.NotEmpty(t, response.GetRequirements().GetResources())
	for _, result := range response.GetResults() {
		require.NotEqual(t, fnv1.Severity_SEVERITY_FATAL, result.GetSeverity(), result.GetMessage())
	}
	return took
}
