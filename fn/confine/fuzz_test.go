package confine

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzParse: a child has limits, and those that its parent has set.
func FuzzParse(f *testing.F) {
	f.Add("--memory=536870912", "--time=1m0s", int64(512<<20), int64(time.Minute))
	f.Add("--memory=-1", "--time=0s", int64(1), int64(1))
	f.Add("--time=1h", "--memory", int64(1<<62), int64(1<<62))
	f.Add("--", "-memory=0x10", int64(0), int64(-1))
	f.Fuzz(func(t *testing.T, one, other string, memory, duration int64) {
		if l, err := parse([]string{one, other}); err == nil {
			assert.Positive(t, l.Memory)
			assert.Positive(t, l.Time)
			again, err := parse(l.arguments())
			require.NoError(t, err)
			assert.Equal(t, l, again)
		}
		set := Limits{Memory: memory, Time: time.Duration(duration)}
		l, err := parse(set.arguments())
		assert.Equal(t, memory > 0 && duration > 0, err == nil)
		if err == nil {
			assert.Equal(t, set, l)
		}
	})
}

// FuzzValues: a text is never decoded that has more values than were counted.
func FuzzValues(f *testing.F) {
	f.Add([]byte(`{"a": [1, {"b": "\\\",[{"}, null], "": {}}`))
	f.Add([]byte(`[[],{},"[",true]`))
	f.Add([]byte(" 1 "))
	f.Fuzz(func(t *testing.T, text []byte) {
		var value any
		if json.Unmarshal(text, &value) == nil {
			assert.LessOrEqual(t, valuesOf(value), values(text))
		}
	})
}

// valuesOf counts a value and those in it.
func valuesOf(value any) int {
	n := 1
	switch v := value.(type) {
	case map[string]any:
		for _, in := range v {
			n += valuesOf(in)
		}
	case []any:
		for _, in := range v {
			n += valuesOf(in)
		}
	}
	return n
}
