package function_test

import (
	"testing"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"threescale.dev/backup/fn/function"
)

// BenchmarkRunFunction is the call that core makes again and again while
// nothing happens: a claim of an installation with 13 Secrets, of which a run
// has finished, all requirements sent along.
func BenchmarkRunFunction(b *testing.B) {
	w := newWorld(b)
	w.finish()
	benchmark(b, w.request())
}

// BenchmarkRunFunctionFirst is the call that composes a snapshot: nothing is
// composed yet, all requirements are sent along.
func BenchmarkRunFunctionFirst(b *testing.B) {
	benchmark(b, newWorld(b).request())
}

func benchmark(b *testing.B, req *fnv1.RunFunctionRequest) {
	b.Helper()
	f := function.New(logging.NewNopLogger())
	var rsp *fnv1.RunFunctionResponse
	for b.Loop() {
		var err error
		if rsp, err = f.RunFunction(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
	require.NotEmpty(b, rsp.GetDesired().GetResources())
	b.ReportMetric(float64(proto.Size(req)), "request-bytes")
	b.ReportMetric(float64(proto.Size(rsp)), "response-bytes")
	b.ReportMetric(float64(len(rsp.GetDesired().GetResources())), "resources")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(time.Millisecond/time.Microsecond), "ms/call")
}
