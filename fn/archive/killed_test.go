package archive

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/syscalls"
)

// attempt runs the process of a scene, and decides on each call that counts by its place among them, from 1 on. It
// returns what the process printed, and the error of its end.
func (s *scene) attempt(w work, numbers []int, counts func(syscalls.Call) bool, decide func(n int, call syscalls.Call) syscalls.Outcome) (string, error) {
	s.t.Helper()
	n := 0
	out, err := syscalls.Run(s.t, childCommand(s.t, w.args(s)), numbers, func(call syscalls.Call) syscalls.Outcome {
		if !counts(call) {
			return syscalls.Made
		}
		n++
		return decide(n, call)
	})
	return string(out), err
}

// count runs the process without any fault, and returns the calls that count, in their order.
func (s *scene) count(t *testing.T, w work, numbers []int, counts func(*scene, syscalls.Call) bool) (calls []syscalls.Call) {
	t.Helper()
	c := s.copied(t, w)
	out, err := c.attempt(w, numbers, func(call syscalls.Call) bool { return counts(c, call) }, func(_ int, call syscalls.Call) syscalls.Outcome {
		calls = append(calls, call)
		return syscalls.Made
	})
	require.NoError(t, err, out)
	require.NotEmpty(t, calls)
	return calls
}

// spread returns n places of total, one in each of as many equal parts, by chance.
func spread(random *rand.Rand, n, total int) (places []int) {
	for i := range n {
		first := i * total / n
		places = append(places, 1+first+random.IntN(max(1, (i+1)*total/n-first)))
	}
	return places
}

// TestKilled kills the mover between two of its system calls, at points that are spread over all of them. After each,
// what coreutils can tell of the runs that were there is what it was, and the next try succeeds: also when it was
// killed itself, at every third point.
func TestKilled(t *testing.T) {
	for name, w := range works() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, w)
			calls := s.count(t, w, w.numbers, func(s *scene, call syscalls.Call) bool { return s.counted(w, call) })
			random := rand.New(rand.NewPCG(7, 11))
			killed, at := 0, make(map[string]int)
			places := spread(random, points(3), len(calls))
			for i, place := range places {
				t.Run(fmt.Sprintf("point-%d", place), func(t *testing.T) {
					s := s.copied(t, w)
					kills := []int{place}
					if i%3 == 2 {
						kills = append(kills, 1+random.IntN(len(calls)))
					}
					for _, place := range kills {
						if call, ok := s.kill(w, place); ok {
							killed++
							at[syscalls.Name(call.Number)]++
						}
						if w.check != nil {
							w.check(s)
						}
						if w.killed != nil {
							w.killed(s)
						}
					}
					w.again(s, i%2 == 1)
				})
			}
			require.False(t, t.Failed())
			t.Logf("%s: %d points of %d calls, %d kills (%s), 0 lost runs", w.reason, len(places), len(calls), killed, counts(at))
			require.NotZero(t, killed)
		})
	}
}

// kill runs the process of a scene and kills it before a call. It returns false if it was done before.
func (s *scene) kill(w work, place int) (at syscalls.Call, killed bool) {
	s.t.Helper()
	out, err := s.attempt(w, w.numbers, func(call syscalls.Call) bool { return s.counted(w, call) }, func(n int, call syscalls.Call) syscalls.Outcome {
		if n != place {
			return syscalls.Made
		}
		at, killed = call, true
		return syscalls.Kill
	})
	if killed {
		require.ErrorContains(s.t, err, "killed", out)
	} else {
		require.NoError(s.t, err, out)
	}
	return at, killed
}

// counts tells how often something was, in the order of the names.
func counts(of map[string]int) string {
	var told []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		told = append(told, fmt.Sprintf("%s %d", name, of[name]))
	}
	return strings.Join(told, ", ")
}
