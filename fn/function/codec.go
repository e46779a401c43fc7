package function

import (
	"encoding/binary"
	"math"
	"strings"
	"unicode/utf8"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto" // has gRPC's own codec registered
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"threescale.dev/backup/fn/threescale"
)

// Codec is gRPC's codec of protobuf messages, but for the objects of a request. These are
// nearly all of it, and package proto decodes them by reflection, entry by entry, which
// was a third of a call. It leaves out their managed fields, which are half of an object
// and are read only where they may tell who wrote a label.
type Codec struct{ encoding.CodecV2 }

// NewCodec returns a Codec. It has the name of gRPC's own, which it replaces once it is
// registered.
func NewCodec() Codec { return Codec{encoding.GetCodecV2(grpcproto.Name)} }

// Unmarshal implements encoding.CodecV2.
func (c Codec) Unmarshal(data mem.BufferSlice, v any) error {
	req, ok := v.(*fnv1.RunFunctionRequest)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	var message strings.Builder
	message.Grow(data.Len())
	for _, part := range data {
		message.Write(part.ReadOnlyData())
	}
	if decodeRequest(message.String(), req) {
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

// decodeRequest decodes a request in the form in which encoders write it: each field
// once, a map's entries as key and value. It reports false of any other. All texts are
// parts of data.
func decodeRequest(data string, req *fnv1.RunFunctionRequest) bool {
	var rest []byte
	var observed *fnv1.State
	required := map[string]*fnv1.Resources{}
	ok := eachField(data, func(f field) bool {
		switch {
		case f.is(2, textType) && observed == nil:
			observed = &fnv1.State{}
			return decodeState(f.text, observed)
		case f.is(8, textType):
			resources := &fnv1.Resources{}
			key, value, ok := entry(f.text)
			required[key] = resources
			return ok && eachField(value, func(f field) bool {
				resource := &fnv1.Resource{}
				resources.Items = append(resources.Items, resource)
				return f.is(1, textType) && decodeResource(f.text, resource)
			})
		}
		rest = append(rest, f.whole...)
		return f.number != 2
	})
	if !ok || proto.Unmarshal(rest, req) != nil {
		return false
	}
	if req.Observed = observed; len(required) > 0 {
		req.RequiredResources = required
	}
	return true
}

func decodeState(data string, out *fnv1.State) bool {
	return eachField(data, func(f field) bool {
		resource := &fnv1.Resource{}
		switch {
		case f.is(1, textType) && out.GetComposite() == nil:
			out.Composite = resource
			return decodeResource(f.text, resource)
		case f.is(2, textType):
			if out.Resources == nil {
				out.Resources = map[string]*fnv1.Resource{}
			}
			key, value, ok := entry(f.text)
			out.Resources[key] = resource
			return ok && decodeResource(value, resource)
		}
		return false
	})
}

// decodeResource decodes an object. What else a resource has is rarely there.
func decodeResource(data string, out *fnv1.Resource) bool {
	var rest []byte
	var object *structpb.Struct
	ok := eachField(data, func(f field) (ok bool) {
		if !f.is(1, textType) {
			rest = append(rest, f.whole...)
			return f.number != 1
		}
		again := object != nil
		object, ok = decodeStruct(f.text, 0, false)
		return ok && !again
	})
	if !ok || proto.Unmarshal(rest, out) != nil {
		return false
	}
	out.Resource = object
	return true
}

// maxDepth is how deep what is decoded here may be: a message can be nested deeper than
// a stack can be.
const maxDepth = 100

// decodeStruct decodes an object, or what is in one at some depth, such as its metadata.
func decodeStruct(data string, depth int, isMetadata bool) (*structpb.Struct, bool) {
	isUntold := isMetadata && !strings.Contains(data, threescale.LabelInstance)
	out := &structpb.Struct{}
	ok := eachField(data, func(f field) bool {
		key, value, ok := entry(f.text)
		if !ok || !f.is(1, textType) {
			return false
		}
		if out.Fields == nil {
			out.Fields = map[string]*structpb.Value{}
		}
		if isUntold && key == "managedFields" {
			return true
		}
		out.Fields[key], ok = decodeValue(value, depth+1, depth == 0 && key == "metadata")
		return ok
	})
	return out, ok
}

// text is a value that is a string, as most are.
type text struct {
	structpb.Value
	kind structpb.Value_StringValue
}

func decodeValue(data string, depth int, isMetadata bool) (*structpb.Value, bool) {
	f, rest, ok := next(data)
	if !ok || rest != "" || depth > maxDepth {
		return nil, false
	}
	switch {
	case f.is(3, textType) && utf8.ValidString(f.text):
		v := &text{kind: structpb.Value_StringValue{StringValue: f.text}}
		v.Kind = &v.kind
		return &v.Value, true
	case f.is(1, numberType):
		return structpb.NewNullValue(), f.bits == 0
	case f.is(2, fixedType):
		return structpb.NewNumberValue(math.Float64frombits(f.bits)), true
	case f.is(4, numberType):
		return structpb.NewBoolValue(f.bits != 0), true
	case f.is(5, textType):
		s, ok := decodeStruct(f.text, depth, isMetadata)
		return structpb.NewStructValue(s), ok
	case f.is(6, textType):
		list := &structpb.ListValue{}
		ok := eachField(f.text, func(f field) bool {
			v, ok := decodeValue(f.text, depth+1, false)
			list.Values = append(list.Values, v)
			return ok && f.is(1, textType)
		})
		return structpb.NewListValue(list), ok
	}
	return nil, false
}

// wireType is how a field is written.
type wireType uint64

const (
	numberType wireType = 0
	fixedType  wireType = 1
	textType   wireType = 2 // or a message
)

// field is one of a message: whole with its tag, and its value as bits or as text.
type field struct {
	number      uint64
	wire        wireType
	bits        uint64
	text, whole string
}

func (f field) is(number uint64, wire wireType) bool { return f.number == number && f.wire == wire }

// eachField calls visit for each field of a message, while it returns true.
func eachField(data string, visit func(field) bool) bool {
	for data != "" {
		f, rest, ok := next(data)
		if !ok || !visit(f) {
			return false
		}
		data = rest
	}
	return true
}

// entry returns what an entry of a map has.
func entry(data string) (key, value string, ok bool) {
	k, rest, isKey := next(data)
	v, rest, isValue := next(rest)
	ok = isKey && isValue && rest == "" && k.is(1, textType) && v.is(2, textType) && utf8.ValidString(k.text)
	return k.text, v.text, ok
}

// next returns the first field of a message, and the rest of it.
func next(data string) (f field, rest string, ok bool) {
	tag, rest, ok := varint(data)
	f.number, f.wire = tag>>3, wireType(tag&7)
	switch {
	case !ok || f.number == 0:
		return f, "", false
	case f.wire == numberType:
		f.bits, rest, ok = varint(rest)
	case f.wire == fixedType && len(rest) >= 8:
		f.bits, rest = binary.LittleEndian.Uint64([]byte(rest[:8])), rest[8:]
	case f.wire == textType:
		var size uint64
		if size, rest, ok = varint(rest); !ok || size > uint64(len(rest)) {
			return f, "", false
		}
		f.text, rest = rest[:size], rest[size:]
	default:
		return f, "", false
	}
	f.whole = data[:len(data)-len(rest)]
	return f, rest, ok
}

// varint returns the number at the beginning of data, and the rest of it.
func varint(data string) (n uint64, rest string, ok bool) {
	const most = 9 // bytes; more than any length, and no overflow
	for i := range min(len(data), most) {
		n |= uint64(data[i]&0x7f) << (7 * i)
		if data[i] < 0x80 {
			return n, data[i+1:], true
		}
	}
	return 0, "", false
}
