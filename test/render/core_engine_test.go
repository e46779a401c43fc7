//go:build render

package render

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// coreEngine is the render engine in Crossplane's own binary: one real
// reconcile of the composite against an API server in memory, garbage
// collection included. Command lines since 2.3 are a front end to it; here that
// is test/peers/crossplane-render.
type coreEngine struct {
	front, crossplane string
	// function and clock are the addresses of the function and of [clock].
	function, clock string
}

func startCore(t *testing.T) coreEngine {
	t.Helper()
	return coreEngine{
		front:      peer(t, "crossplane-render"),
		crossplane: peer(t, "crossplane"),
		function:   startFunction(t),
		clock:      startClock(t),
	}
}

// coreAnswer is core's CompositeOutput.
type coreAnswer struct {
	Composite *unstructured.Unstructured   `json:"compositeResource"`
	Composed  []*unstructured.Unstructured `json:"composedResources"`
	Deleted   []*unstructured.Unstructured `json:"deletedResources"`
	Events    []struct {
		Type, Reason, Message string
	} `json:"events"`
}

// render has the engine render an example.
func (c coreEngine) render(t *testing.T, e Example) coreAnswer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.front, c.crossplane)
	stderr := &bytes.Buffer{}
	cmd.Stdin, cmd.Stderr = bytes.NewReader(c.request(t, e)), stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", stderr)
	var answer struct {
		Composite coreAnswer `json:"composite"`
	}
	require.NoError(t, json.Unmarshal(out, &answer))
	require.NotNil(t, answer.Composite.Composite)
	return answer.Composite
}

// request is core's RenderRequest for an example, as JSON.
func (c coreEngine) request(t *testing.T, e Example) []byte {
	t.Helper()
	composition, err := readObject(compositionFile(root, e.Scenario))
	require.NoError(t, err)
	prependClock(t, composition, e.moment())
	xrd, err := readObject(filepath.Join(root, "manifests", e.Flavour(), "xrd.yaml"))
	require.NoError(t, err)
	function, err := readObject(filepath.Join(root, "examples", "functions.yaml"))
	require.NoError(t, err)
	type functionInput struct {
		Name    string `json:"name"`
		Address string `json:"address"`
	}
	data, err := json.Marshal(map[string]any{"composite": map[string]any{
		"compositeResource":           e.XR,
		"composition":                 composition,
		"compositeResourceDefinition": xrd, // without it every composite is one without a claim
		"functions":                   []functionInput{{function.GetName(), c.function}, {clockName, c.clock}},
		"observedResources":           e.Observed,
		"requiredResources":           e.Required,
	}})
	require.NoError(t, err)
	return data
}

// printed is what `crossplane composition render --include-full-xr` makes of an
// answer: the composite as it was given with what the engine changed in it, the
// composed objects by resource name, and the times of conditions replaced.
// Unlike that command it replaces the status whole, as the API server does.
func (a coreAnswer) printed(t *testing.T, e Example) []*unstructured.Unstructured {
	t.Helper()
	xr := e.XR.DeepCopy()
	assert.Equal(t, []string{xr.GetAPIVersion(), xr.GetKind(), xr.GetNamespace(), xr.GetName()},
		[]string{a.Composite.GetAPIVersion(), a.Composite.GetKind(), a.Composite.GetNamespace(), a.Composite.GetName()})
	references, has, err := unstructured.NestedSlice(a.Composite.Object, machinery(e, "resourceRefs")...)
	require.NoError(t, err)
	require.True(t, has, "the engine takes the composite for one of the other flavour")
	require.NoError(t, unstructured.SetNestedSlice(xr.Object, references, machinery(e, "resourceRefs")...))
	status, _, err := unstructured.NestedMap(a.Composite.Object, "status")
	require.NoError(t, err)
	for _, c := range status["conditions"].([]any) {
		c.(map[string]any)["lastTransitionTime"] = conditionTime
	}
	xr.Object["status"] = status
	composed := slices.SortedFunc(slices.Values(a.Composed), func(a, b *unstructured.Unstructured) int {
		return cmp.Compare(a.GetAnnotations()[annotationResourceName], b.GetAnnotations()[annotationResourceName])
	})
	return append([]*unstructured.Unstructured{xr}, composed...)
}

// machinery is the path of one of Crossplane's own fields in the spec.
func machinery(e Example, field string) []string {
	if e.Namespaced {
		return []string{"spec", "crossplane", field}
	}
	return []string{"spec", field}
}

// clock is a function that tells the others the time: the engine knows no
// --context-values, and the command line does the same for them.
type clock struct {
	fnv1.UnimplementedFunctionRunnerServiceServer
}

const clockName = "clock"

func (clock) RunFunction(_ context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	return &fnv1.RunFunctionResponse{Meta: &fnv1.ResponseMeta{Tag: req.GetMeta().GetTag()}, Desired: req.GetDesired(), Context: req.GetInput()}, nil
}

// startClock serves a [clock] and returns its address.
func startClock(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	fnv1.RegisterFunctionRunnerServiceServer(server, clock{})
	go func() { _ = server.Serve(listener) }() // until it is stopped
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// prependClock puts the clock before the pipeline of a Composition.
func prependClock(t *testing.T, composition *unstructured.Unstructured, now string) {
	t.Helper()
	pipeline, _, err := unstructured.NestedSlice(composition.Object, "spec", "pipeline")
	require.NoError(t, err)
	pipeline = append([]any{map[string]any{
		"step":        clockName,
		"functionRef": map[string]any{"name": clockName},
		"input":       map[string]any{ContextNow: now},
	}}, pipeline...)
	require.NoError(t, unstructured.SetNestedSlice(composition.Object, pipeline, "spec", "pipeline"))
}
