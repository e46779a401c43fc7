package function_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"threescale.dev/backup/test/dataset"
)

// requests are real ones, from which the random ones are made.
func requests(t testing.TB) []*fnv1.RunFunctionRequest {
	t.Helper()
	first := newWorld(t)
	out := []*fnv1.RunFunctionRequest{first.request()}
	first.reconcile()
	out = append(out, first.request())
	finished := newWorld(t)
	finished.finish()
	return append(out, finished.request())
}

// TestRandomRequests is a part of what FuzzRunFunction looks for, in each run of
// the tests.
func TestRandomRequests(t *testing.T) {
	from := requests(t)
	count := 400
	if testing.Short() {
		count = 40
	}
	for seed := range count {
		tryRandom(t, from, uint64(seed), seed%23+1)
	}
}

// FuzzRunFunction replaces parts of a request by others: whatever a tenant
// writes into an object, the function answers, and tells no Secret's value.
func FuzzRunFunction(f *testing.F) {
	from := requests(f)
	f.Add(uint64(1), 1)
	f.Add(uint64(2), 50)
	f.Fuzz(func(t *testing.T, seed uint64, changes int) {
		tryRandom(t, from, seed, changes%200)
	})
}

func tryRandom(t testing.TB, from []*fnv1.RunFunctionRequest, seed uint64, changes int) {
	t.Helper()
	m := &mutator{rnd: rand.New(rand.NewPCG(seed, 1))}
	req := proto.CloneOf(from[m.rnd.IntN(len(from))])
	for range changes {
		m.mutate(req)
	}
	rsp := run(t, req)
	require.NotContains(t, fatal(rsp), "this is a bug of the function", "seed %d, %d changes: it panicked", seed, changes)
	_, err := proto.Marshal(rsp)
	require.NoError(t, err, "seed %d, %d changes: core gets no answer", seed, changes)
	for _, c := range rsp.GetConditions() {
		requireDiscreet(t, c.GetMessage())
	}
	for _, r := range rsp.GetResults() {
		requireDiscreet(t, r.GetMessage())
	}
	requireDiscreet(t, rsp.GetDesired().GetComposite().String())
}

func requireDiscreet(t testing.TB, text string) {
	t.Helper()
	for _, form := range dataset.MarkerForms() {
		require.NotContains(t, text, form, "a Secret's value leaks")
	}
}

// mutator changes requests.
type mutator struct{ rnd *rand.Rand }

// mutate changes one thing somewhere.
func (m *mutator) mutate(req *fnv1.RunFunctionRequest) {
	structs := []*structpb.Struct{req.GetObserved().GetComposite().GetResource(), req.GetInput()}
	for _, name := range sorted(req.GetObserved().GetResources()) {
		structs = append(structs, req.GetObserved().GetResources()[name].GetResource())
	}
	for _, name := range sorted(req.GetRequiredResources()) {
		resources := req.GetRequiredResources()[name]
		switch m.rnd.IntN(200) {
		case 0:
			resources.Items = nil
		case 1:
			resources.Items = append(resources.Items, resources.GetItems()...)
		case 2:
			resources.Items = append(resources.Items, &fnv1.Resource{})
		}
		for _, item := range resources.GetItems() {
			structs = append(structs, item.GetResource())
		}
	}
	m.inStruct(structs[m.rnd.IntN(len(structs))])
}

func sorted[T any](of map[string]T) []string {
	var out []string
	for key := range of {
		out = append(out, key)
	}
	slices.Sort(out)
	return out
}

func (m *mutator) inStruct(s *structpb.Struct) {
	keys := sorted(s.GetFields())
	if len(keys) == 0 {
		return
	}
	key := keys[m.rnd.IntN(len(keys))]
	if m.rnd.IntN(12) == 0 {
		delete(s.Fields, key)
		return
	}
	s.Fields[key] = m.inValue(s.GetFields()[key])
}

// inValue goes down as long as it can, mostly.
func (m *mutator) inValue(v *structpb.Value) *structpb.Value {
	if m.rnd.IntN(6) > 0 {
		switch kind := v.GetKind().(type) {
		case *structpb.Value_StructValue:
			m.inStruct(kind.StructValue)
			return v
		case *structpb.Value_ListValue:
			if values := kind.ListValue.GetValues(); len(values) > 0 {
				i := m.rnd.IntN(len(values))
				values[i] = m.inValue(values[i])
			}
			return v
		}
	}
	return m.value()
}

func (m *mutator) value() *structpb.Value {
	texts := []string{
		"", "-", "..", "../../x", "Job", "Secret", "True", "2026-11-22T12:00:00Z", "10Gi", "-1", "9999999999999999999999",
		"trigger-000000000000", "\u00fc", strings.Repeat("a", 63), strings.Repeat("a.", 127), "[", `{"run":""}`, `{"completed":false,"reason":"IO","message":"\u00fc"}`, "a\nb", "\x00",
	}
	switch m.rnd.IntN(8) {
	case 0:
		return structpb.NewNullValue()
	case 1:
		return structpb.NewBoolValue(m.rnd.IntN(2) == 0)
	case 2:
		return structpb.NewNumberValue([]float64{0, -1, 1.5, 1e300, 9007199254740993, -9223372036854775808}[m.rnd.IntN(6)])
	case 3:
		return structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{m.value()}})
	case 4:
		return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{texts[m.rnd.IntN(len(texts))]: m.value()}})
	}
	return structpb.NewStringValue(texts[m.rnd.IntN(len(texts))])
}
