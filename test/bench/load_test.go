//go:build bench

package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
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

	"threescale.dev/backup/fn/function"
	"threescale.dev/backup/test/peers"
	"threescale.dev/backup/test/render"
)

const (
	loadPairs   = 7
	loadCallers = 8
	// loadTurns is how often both processes take turns in a pair, and loadCalls how many calls of a turn each answers: of
	// one caller, and again of loadCallers at once.
	loadTurns = 5
	loadCalls = 80

	// What a call may take of the peer's time, how many are answered in it, and the most memory in KiB.
	maxLatency    = 0.8
	minThroughput = 1.2
	maxPeak       = 64 << 10
)

// TestAgainstAutoReady measures calls of the function beside those of function-auto-ready, the next step of many pipelines.
// Both get what core sends them for a backup whose Job has ended: what is observed, and the function what it requires, the
// peer what the function desires.
func TestAgainstAutoReady(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "function")
	require.NoError(t, peers.Build(t.Context(), "./fn/cmd/function", binary))
	peer, err := peers.Binary(t.Context(), "function-auto-ready")
	require.NoError(t, err)
	request, answer := completed(t)
	next := &fnv1.RunFunctionRequest{Meta: request.GetMeta(), Observed: request.GetObserved(), Desired: answer.GetDesired()}
	t.Logf("requests of %d and %d bytes, an answer of %d bytes and %d resources",
		proto.Size(request), proto.Size(next), proto.Size(answer), len(answer.GetDesired().GetResources()))
	var latencies, throughputs []float64
	for range loadPairs {
		ours, theirs := serve(t, binary, request, answer), serve(t, peer, next, nil)
		for range loadTurns {
			for _, s := range []*server{ours, theirs} {
				s.crowd(t)
			}
			alternate(t, ours, theirs)
		}
		ours.end(t)
		theirs.end(t)
		t.Logf("one caller and %d: function: %s; function-auto-ready: %s", loadCallers, ours, theirs)
		latencies = append(latencies, median(ours.alone).Seconds()/median(theirs.alone).Seconds())
		throughputs = append(throughputs, theirs.wall.Seconds()/ours.wall.Seconds())
		assert.LessOrEqual(t, ours.peak, int64(maxPeak))
	}
	slices.Sort(latencies)
	slices.Sort(throughputs)
	latency, throughput := latencies[loadPairs/2], throughputs[loadPairs/2]
	t.Logf("median ratios: latency %.2f, throughput %.2f", latency, throughput)
	assert.LessOrEqual(t, latency, maxLatency)
	assert.GreaterOrEqual(t, throughput, minThroughput)
}

// recorder is the function, and keeps its last request and answer.
type recorder struct {
	*function.Function
	request *fnv1.RunFunctionRequest
	answer  *fnv1.RunFunctionResponse
}

func (r *recorder) RunFunction(ctx context.Context, request *fnv1.RunFunctionRequest) (answer *fnv1.RunFunctionResponse, err error) {
	r.request = proto.CloneOf(request)
	r.answer, err = r.Function.RunFunction(ctx, request)
	return r.answer, err
}

// completed is the call for the example of a backup whose Job has ended.
func completed(t *testing.T) (*fnv1.RunFunctionRequest, *fnv1.RunFunctionResponse) {
	t.Helper()
	example, err := render.Load(filepath.Join("..", ".."), render.Scenario{Name: "completed"})
	require.NoError(t, err)
	for _, object := range slices.Concat(example.Observed, example.Required) {
		fields := map[string]any{
			"manager": "apiextensions.crossplane.io/composed", "operation": "Apply", "apiVersion": object.GetAPIVersion(),
			"time": "2026-11-22T12:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": managed(object.Object),
		}
		require.NoError(t, unstructured.SetNestedSlice(object.Object, []any{fields}, "metadata", "managedFields"))
	}
	r := &recorder{Function: function.New(logging.NewNopLogger())}
	r.Rendering = true
	_, err = render.Render(t.Context(), r, example)
	require.NoError(t, err)
	require.Greater(t, len(r.answer.GetDesired().GetResources()), 20)
	return r.request, r.answer
}

// managed is what the API server notes of who applied an object.
func managed(of map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range of {
		children, _ := value.(map[string]any)
		out["f:"+key] = managed(children)
	}
	return out
}

// server is a process that answers one request again and again.
type server struct {
	cmd        *exec.Cmd
	connection *grpc.ClientConn
	request    []byte
	want       *fnv1.RunFunctionResponse // nil: any
	alone      []time.Duration           // each call of one caller
	wall       time.Duration             // all calls of loadCallers
	cpu        time.Duration             // of all calls
	peak       int64                     // KiB
}

// serve starts a process. It has a network of its own, since the peer's port of metrics cannot be chosen, and is called
// over a socket in the file system.
func serve(t *testing.T, binary string, request *fnv1.RunFunctionRequest, want *fnv1.RunFunctionResponse) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "load") // a socket's path has to be short
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	socket := filepath.Join(dir, "s")
	s := &server{cmd: exec.CommandContext(t.Context(), binary, "--insecure", "--network", "unix", "--address", socket), want: want}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}},
	}
	require.NoError(t, s.cmd.Start())
	s.request, err = proto.Marshal(request)
	require.NoError(t, err)
	s.connection, err = grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(wire{}), grpc.WaitForReady(true)))
	require.NoError(t, err)
	s.check(t, s.call(t))
	return s
}

// wire leaves messages as they are on the wire: what the client does with them is not measured.
type wire struct{}

func (wire) Name() string                  { return "proto" }
func (wire) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (wire) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}

func (s *server) call(t *testing.T) (answer []byte) {
	t.Helper()
	assert.NoError(t, s.connection.Invoke(t.Context(), fnv1.FunctionRunnerService_RunFunction_FullMethodName, &s.request, &answer))
	return answer
}

// check compares an answer byte for byte with the one that is wanted. On the wire its fields have no order.
func (s *server) check(t *testing.T, data []byte) {
	t.Helper()
	answer, sorted := &fnv1.RunFunctionResponse{}, proto.MarshalOptions{Deterministic: true}
	require.NoError(t, proto.Unmarshal(data, answer))
	if s.want == nil {
		return
	}
	got, err := sorted.Marshal(answer)
	require.NoError(t, err)
	want, err := sorted.Marshal(s.want)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "the same request should have the same answer")
}

// alternate calls one process and the other in turn, so that both have the same neighbours.
func alternate(t *testing.T, servers ...*server) {
	t.Helper()
	for range loadCalls {
		for _, s := range servers {
			begin := time.Now()
			answer := s.call(t)
			s.alone = append(s.alone, time.Since(begin))
			s.check(t, answer)
		}
	}
}

// crowd has loadCallers call at once.
func (s *server) crowd(t *testing.T) {
	t.Helper()
	var callers sync.WaitGroup
	answers := make([][]byte, loadCallers)
	begin := time.Now()
	for i := range answers {
		callers.Go(func() {
			for range loadCalls / loadCallers {
				answers[i] = s.call(t)
			}
		})
	}
	callers.Wait()
	s.wall += time.Since(begin)
	for _, answer := range answers {
		s.check(t, answer)
	}
}

// end stops the process.
func (s *server) end(t *testing.T) {
	t.Helper()
	s.peak = peakOf(t, s.cmd.Process.Pid)
	assert.NoError(t, s.connection.Close())
	_ = s.cmd.Process.Kill() // it serves until then
	_ = s.cmd.Wait()         // killed
	s.cpu = s.cmd.ProcessState.UserTime() + s.cmd.ProcessState.SystemTime()
}

func (s *server) String() string {
	return fmt.Sprintf("%s a call, %.0f calls/s, %.2f ms of processors a call, %d MiB",
		median(s.alone), float64(len(s.alone))/s.wall.Seconds(), s.cpu.Seconds()*1000/float64(2*len(s.alone)), s.peak>>10)
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
