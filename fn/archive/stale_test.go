package archive

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestStaleIsNoDamage: what a file server has lost for now says nothing of a run. Whoever reads it is told so, and reads it
// at the next try.
func TestStaleIsNoDamage(t *testing.T) {
	f := faults()["StaleVolume"]
	for _, name := range []string{"Verify", "Restore"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := works()[name]
			s := newScene(t, w)
			calls := s.count(t, w, f.numbers, f.of)
			for _, place := range spread(rand.New(rand.NewPCG(11, 13)), min(points(24), len(calls)), len(calls)) {
				t.Run(fmt.Sprintf("point-%d", place), func(t *testing.T) {
					s := s.copied(t, w)
					out, err := s.fail(f, w, place, make(map[string]int))
					require.NotContains(t, out, "damaged")
					if err != nil {
						require.Contains(t, out, f.errno.Error())
					}
					w.again(s, false)
				})
			}
		})
	}
}
