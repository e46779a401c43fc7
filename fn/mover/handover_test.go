package mover

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
)

// TestPack packs objects of random sizes, some larger than a part: what is packed can be read again, no part is
// larger than it may be, and none could take the object after it.
func TestPack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	sizes := []int{0, 1, 100, 40_000, 500_000, job.MaxHandoverBytes - 20, job.MaxHandoverBytes, job.MaxHandoverBytes + 1, 3 * job.MaxHandoverBytes}
	for round := range 200 {
		objects := make([]checkedFile, random.IntN(12))
		for i := range objects {
			objects[i].Kind, objects[i].Name = "Secret", "s"+strconv.Itoa(i)
			objects[i].data = make([]byte, sizes[random.IntN(len(sizes))]+random.IntN(50))
			for j := 0; j < len(objects[i].data); j += 997 {
				objects[i].data[j] = byte(random.Uint32())
			}
		}
		parts := pack(objects)
		last := -1
		for _, o := range objects {
			got, err := o.Handed(parts)
			require.NoError(t, err)
			require.Len(t, got, len(o.data), "round %d: %s", round, o.Name)
			require.True(t, bytes.Equal(o.data, got), "round %d: %s", round, o.Name)
			assert.GreaterOrEqual(t, o.Part, last)
			last = o.Part
		}
		for i, part := range parts {
			size := 0
			for key, data := range part {
				size += len(key) + len(data)
			}
			assert.LessOrEqual(t, size, job.MaxHandoverBytes, "round %d: part %d", round, i)
			assert.NotEmpty(t, part)
		}
	}
	assert.Empty(t, pack(nil))
	one := []checkedFile{{HandoverEntry: job.HandoverEntry{Kind: "Secret", Name: "a"}, data: []byte("x")}, {HandoverEntry: job.HandoverEntry{Kind: "Secret", Name: "b"}, data: []byte("y")}}
	assert.Len(t, pack(one), 1, "what fits into one part is in one")
}
