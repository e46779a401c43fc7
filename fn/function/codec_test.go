package function_test

import (
	"bytes"
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"threescale.dev/backup/fn/function"
	"threescale.dev/backup/fn/threescale"
)

// everything is a request that has each kind of field and of value.
func everything(t testing.TB) *fnv1.RunFunctionRequest {
	t.Helper()
	w := newWorld(t)
	w.finish()
	req := w.request()
	req.Context = structOf(t, map[string]any{"a": []any{1.5, nil, true, "x", map[string]any{}, []any{}}})
	req.Desired = &fnv1.State{Resources: map[string]*fnv1.Resource{"theirs": {Ready: fnv1.Ready_READY_FALSE}}}
	req.Credentials = map[string]*fnv1.Credentials{"c": {}}
	req.RequiredResources["none"] = &fnv1.Resources{}
	req.RequiredResources["odd"] = &fnv1.Resources{Items: []*fnv1.Resource{
		{}, {Resource: &structpb.Struct{}}, {ConnectionDetails: map[string][]byte{"k": {0xff}}, Ready: fnv1.Ready_READY_TRUE},
		{Resource: structOf(t, map[string]any{"a": []any{1.5, nil, false, "\u00e4", map[string]any{"": ""}, []any{}}, "metadata": "x"})},
	}}
	return req
}

// withoutManagedFields removes from a request what Codec leaves out.
func withoutManagedFields(req *fnv1.RunFunctionRequest) *fnv1.RunFunctionRequest {
	resources := []*fnv1.Resource{req.GetObserved().GetComposite()}
	for _, r := range req.GetObserved().GetResources() {
		resources = append(resources, r)
	}
	for _, r := range req.GetRequiredResources() {
		resources = append(resources, r.GetItems()...)
	}
	for _, r := range resources {
		metadata := r.GetResource().GetFields()["metadata"].GetStructValue()
		if data, _ := proto.Marshal(metadata); !bytes.Contains(data, []byte(threescale.LabelInstance)) {
			delete(metadata.GetFields(), "managedFields")
		}
	}
	return req
}

// requireSame decodes data as Codec does and as package proto does.
func requireSame(t *testing.T, data []byte) {
	t.Helper()
	got, want := &fnv1.RunFunctionRequest{}, &fnv1.RunFunctionRequest{}
	err := function.NewCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, got)
	if wantErr := proto.Unmarshal(data, want); wantErr != nil {
		isLeftOut := bytes.Contains(data, []byte("managedFields")) // what is wrong may be in there
		require.True(t, err != nil || isLeftOut, "should be refused: %v", wantErr)
		return
	}
	require.NoError(t, err)
	require.True(t, proto.Equal(withoutManagedFields(want), withoutManagedFields(got)), "should be decoded alike")
}

// TestCodec: what core sends is decoded as package proto does it, but for managed fields.
func TestCodec(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		labels map[string]any
		kept   bool
	}{
		"Untold": {"nobody reads them", map[string]any{}, false},
		"Told":   {"they tell who wrote the label", map[string]any{threescale.LabelInstance: "x"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			req := everything(t)
			object := structOf(t, map[string]any{
				"metadata": map[string]any{"name": "x", "labels": tc.labels, "managedFields": []any{"m"}},
				"spec":     map[string]any{"managedFields": "s", "metadata": map[string]any{"managedFields": "n"}},
			})
			req.Observed.Resources["x"] = &fnv1.Resource{Resource: object}
			data, err := proto.Marshal(req)
			require.NoError(t, err)
			got := &fnv1.RunFunctionRequest{}
			require.True(t, function.DecodeRequest(string(data), got), "what core sends should not need package proto")
			metadata := got.GetObserved().GetResources()["x"].GetResource().GetFields()["metadata"].GetStructValue()
			assert.Equal(t, tc.kept, metadata.GetFields()["managedFields"] != nil, tc.reason)
			requireSame(t, data)
		})
	}
}

// odd are requests that no encoder writes, and that package proto decodes or refuses.
func odd(t testing.TB) map[string][]byte {
	t.Helper()
	message := func(number protowire.Number, parts ...[]byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), bytes.Join(parts, nil))
	}
	text := func(number protowire.Number, s string) []byte { return message(number, []byte(s)) }
	value := func(s string) []byte { return message(2, text(3, s)) }
	object := func(entries ...[]byte) []byte { return message(2, message(1, message(1, entries...))) }
	deep := structpb.NewStringValue("x")
	for range 200 {
		deep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{deep}})
	}
	nested, err := proto.Marshal(&fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: &fnv1.Resource{
		Resource: &structpb.Struct{Fields: map[string]*structpb.Value{"a": deep}},
	}}})
	require.NoError(t, err)
	return map[string][]byte{
		"Empty":          {},
		"Nested":         nested,
		"Twice":          append(object(message(1, text(1, "a"), value("b"))), object(message(1, text(1, "c"), value("d")))...),
		"KeyTwice":       object(message(1, text(1, "a"), value("b")), message(1, text(1, "a"), value("c"))),
		"ValueFirst":     object(message(1, value("b"), text(1, "a"))),
		"NoKey":          object(message(1, value("b"))),
		"NoValue":        object(message(1, text(1, "a"))),
		"NoKind":         object(message(1, text(1, "a"), message(2))),
		"TwoKinds":       object(message(1, text(1, "a"), message(2, text(3, "b"), text(3, "c")))),
		"Unknown":        object(message(1, text(1, "a"), value("b")), text(9, "c")),
		"UnknownInState": message(2, text(9, "a")),
		"UnknownOnTop":   text(99, "a"),
		"ResourceTwice":  message(2, message(1, message(1, message(1, text(1, "a"), value("b"))), message(1))),
		"NoText":         object(message(1, text(1, "a"), value("\xff"))),
		"NoTextAsKey":    object(message(1, text(1, "\xff"), value("b"))),
		"Cut":            object(message(1, text(1, "a"), value("b")))[:9],
		"TooLong":        {2<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"OtherType":      {2 << 3, 1},
		"NoNumber":       {0, 1},
		"LongVarint":     []byte("\x12" + strings.Repeat("\x80", 10) + "\x01"),
	}
}

// TestCodecOdd: what no encoder writes is decoded, or refused, as package proto does it.
func TestCodecOdd(t *testing.T) {
	for name, data := range odd(t) {
		t.Run(name, func(t *testing.T) { requireSame(t, data) })
	}
}

// FuzzCodec proves the same of all that there can be.
func FuzzCodec(f *testing.F) {
	for _, data := range odd(f) {
		f.Add(data)
	}
	data, err := proto.Marshal(everything(f))
	require.NoError(f, err)
	f.Add(data)
	f.Fuzz(requireSame)
}
