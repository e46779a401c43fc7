package threescale_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "k8s.io/apimachinery/pkg/util/json"

	"threescale.dev/backup/fn/threescale"
)

// operatorScript is what the operator pipes `oc get -o json` through, without
// the removal of fields.
const operatorScript = "import sys, json\nprint(json.dumps(json.load(sys.stdin), indent=4, sort_keys=True))"

// TestEncodeJSON compares with files that Python wrote, and with the Python of
// this machine if it has one.
func TestEncodeJSON(t *testing.T) {
	inputs, err := filepath.Glob(filepath.Join("testdata", "json", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, inputs)
	for _, input := range inputs {
		name := strings.TrimSuffix(input, ".json")
		t.Run(filepath.Base(name), func(t *testing.T) {
			object := decode(t, read(t, input)).Object
			got, err := threescale.EncodeJSON(object)
			require.NoError(t, err)
			assert.Equal(t, string(read(t, name+".golden")), string(got))
			compareWithPython(t, object, got)
		})
	}
}

func TestEncodeJSONNumbers(t *testing.T) {
	cases := map[string]struct {
		reason string
		value  any
		want   string
	}{
		"Int":             {"Go code may put a plain int into an object", 7, "7"},
		"Int32":           {"typed Kubernetes fields are int32", int32(-7), "-7"},
		"Int64":           {"the Kubernetes decoder yields int64", int64(math.MaxInt64), "9223372036854775807"},
		"IntegralFloat":   {"protobuf structs hold each number as float64, and a replica count must not become 2.0", 2.0, "2"},
		"NegativeZero":    {"Python reads Go's -0 as the integer 0", math.Copysign(0, -1), "0"},
		"Number":          {"an integer literal is kept, however long", json.Number("123456789012345678901234567890"), "123456789012345678901234567890"},
		"NumberFraction":  {"a literal with a fraction is a float to Python, also an integral one", json.Number("2.0"), "2.0"},
		"NumberExponent":  {"a literal with an exponent is a float to Python", json.Number("1E2"), "100.0"},
		"NumberMinusZero": {"Python's integers have no sign of zero", json.Number("-0"), "0"},
		"NumberZeroFloat": {"but its floats have", json.Number("-0.0"), "-0.0"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := threescale.EncodeJSON(tc.value)
			require.NoError(t, err, tc.reason)
			assert.Equal(t, tc.want+"\n", string(got), tc.reason)
		})
	}
}

func TestEncodeJSONRefuses(t *testing.T) {
	const secret = "hidden"
	cases := map[string]struct {
		reason string
		value  any
	}{
		"NotUTF8":        {"no JSON document holds such a string", secret + "\xff"},
		"NotUTF8Key":     {"nor such a key", map[string]any{secret + "\xff": 1}},
		"NaN":            {"JSON has no word for it", math.NaN()},
		"Infinity":       {"JSON has no word for it", math.Inf(-1)},
		"Struct":         {"typed objects have to be converted first", struct{ A string }{secret}},
		"StringMap":      {"so have typed maps", map[string]string{"a": secret}},
		"Bytes":          {"the base64 form is up to the caller", []byte(secret)},
		"EmptyNumber":    {"the zero json.Number is no number", json.Number("")},
		"WordNumber":     {"a json.Number can hold anything", json.Number("null")},
		"TextNumber":     {"a json.Number can hold anything", json.Number(`"` + secret + `"`)},
		"SpacedNumber":   {"white space would get into the file", json.Number("1 ")},
		"OverflowNumber": {"Python would write Infinity, which is not JSON", json.Number("1e999")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := threescale.EncodeJSON(map[string]any{"data": []any{tc.value}})
			require.ErrorContains(t, err, `cannot encode field "data": cannot encode item 0: cannot encode `, tc.reason)
			if name != "NotUTF8Key" {
				assert.NotContains(t, err.Error(), secret, "an error must not tell values")
			}
		})
	}
}

// FuzzEncodeJSON proves that nothing is lost: what was encoded decodes to the
// same value, and encodes to the same bytes again.
func FuzzEncodeJSON(f *testing.F) {
	inputs, err := filepath.Glob(filepath.Join("testdata", "json", "*.json"))
	require.NoError(f, err)
	for _, input := range inputs {
		f.Add(read(f, input))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var object map[string]any
		if kjson.Unmarshal(data, &object) != nil || object == nil {
			t.Skip()
		}
		encoded, err := threescale.EncodeJSON(object)
		require.NoError(t, err)
		decoded := decode(t, encoded).Object
		assert.Equal(t, floats(object), floats(decoded))
		again, err := threescale.EncodeJSON(decoded)
		require.NoError(t, err)
		assert.Equal(t, string(encoded), string(again))
		assert.Negative(t, bytes.IndexFunc(encoded, func(r rune) bool { return r > '~' }), "the output must be ASCII")
	})
}

// compareWithPython feeds Python as `oc get -o json` does, with Go's JSON.
func compareWithPython(t *testing.T, object map[string]any, got []byte) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		require.Empty(t, os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING"), err)
		t.Log("no python3: compared with the committed file only")
		return
	}
	input, err := json.Marshal(object)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), python, "-c", operatorScript)
	cmd.Stdin = bytes.NewReader(input)
	want, err := cmd.Output()
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))
}

// floats turns integers into floats, so that 2 equals 2.0.
func floats(value any) any {
	switch v := value.(type) {
	case int64:
		return float64(v)
	case map[string]any:
		out := map[string]any{}
		for key, item := range v {
			out[key] = floats(item)
		}
		return out
	case []any:
		out := []any{}
		for _, item := range v {
			out = append(out, floats(item))
		}
		return out
	}
	return value
}

func decode(t testing.TB, data []byte) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	require.NoError(t, kjson.Unmarshal(data, &object.Object))
	return object
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}
