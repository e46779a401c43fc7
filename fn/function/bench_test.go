package function_test

import (
	"testing"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/function"
)

// BenchmarkRunFunction is the call, from one message to the other, that core makes again
// and again while nothing happens: a claim of an installation with 13 Secrets, of which a run
// has finished, all requirements sent along.
func BenchmarkRunFunction(b *testing.B) {
	w := newWorld(b)
	w.finish()
	for _, o := range w.Composed() {
		o = o.DeepCopy()
		o.SetManagedFields(nil)
		fields := map[string]any{
			"manager": "apiextensions.crossplane.io/composed/0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9", "operation": "Apply",
			"apiVersion": o.GetAPIVersion(), "time": "2026-11-22T12:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": managed(o.Object),
		}
		require.NoError(b, unstructured.SetNestedSlice(o.Object, []any{fields}, "metadata", "managedFields"))
		w.Put(o)
	}
	benchmark(b, w.request())
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

// BenchmarkRunFunctionFirst is the call that composes a snapshot: nothing is
// composed yet, all requirements are sent along.
func BenchmarkRunFunctionFirst(b *testing.B) {
	benchmark(b, newWorld(b).request())
}

func benchmark(b *testing.B, req *fnv1.RunFunctionRequest) {
	b.Helper()
	f, codec := function.New(logging.NewNopLogger()), function.NewCodec()
	message, err := codec.Marshal(req)
	require.NoError(b, err)
	var rsp *fnv1.RunFunctionResponse
	for b.Loop() {
		received := &fnv1.RunFunctionRequest{}
		err := codec.Unmarshal(message, received)
		if err == nil {
			rsp, err = f.RunFunction(b.Context(), received)
		}
		if err != nil {
			b.Fatal(err)
		}
		answer, err := codec.Marshal(rsp)
		if err != nil {
			b.Fatal(err)
		}
		answer.Free()
	}
	require.NotEmpty(b, rsp.GetDesired().GetResources())
	b.ReportMetric(float64(proto.Size(req)), "request-bytes")
	b.ReportMetric(float64(proto.Size(rsp)), "response-bytes")
	b.ReportMetric(float64(len(rsp.GetDesired().GetResources())), "resources")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(time.Millisecond/time.Microsecond), "ms/call")
}
