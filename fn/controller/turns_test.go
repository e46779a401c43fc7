package controller

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
)

// clock is a time that tests set.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func named(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// TestTurns: who waits blocks nobody, and is told when it is his turn.
func TestTurns(t *testing.T) {
	c := &clock{at: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	var told []types.NamespacedName
	turns := newTurns(2, c.now, func(who types.NamespacedName) { told = append(told, who) })
	take := func(who types.NamespacedName) func() {
		c.at = c.at.Add(time.Millisecond)
		return turns.take(who)
	}
	leave := take(named("hostile", "a"))
	require.NotNil(t, leave)
	for i := range 50 {
		assert.Nil(t, take(named("hostile", fmt.Sprint("b", i))), "a namespace has one place, however many restores it has")
	}
	leaveFriendly := take(named("friendly", "a"))
	require.NotNil(t, leaveFriendly, "those that wait for their own namespace stand in nobody's way")
	assert.Nil(t, take(named("third", "a")), "there are two places")
	assert.Empty(t, told)

	leave()
	assert.Equal(t, []types.NamespacedName{named("third", "a")}, told, "its namespace waited, the other was served")
	assert.Nil(t, take(named("hostile", "b0")), "the place is kept for who was told")
	leave = take(named("third", "a"))
	require.NotNil(t, leave)

	told = nil
	leaveFriendly()
	leaveFriendly()
	assert.Equal(t, []types.NamespacedName{named("hostile", "b0")}, told, "once, however often it is given back")
	c.at = c.at.Add(2 * stale)
	assert.Nil(t, take(named("friendly", "a")), "it is behind the other's others")
	assert.Equal(t, []types.NamespacedName{named("hostile", "b0"), named("hostile", "b1")}, told, "who was told and does not come, since it was deleted, is not waited for")
}

// TestTurnsAreFair: whoever else wants one, a namespace that wants a place has it after at most one turn of each other.
func TestTurnsAreFair(t *testing.T) {
	const namespaces, restores, places = 6, 20, 2
	c := &clock{at: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	random := rand.New(rand.NewPCG(1, 2))
	var ready []types.NamespacedName
	turns := newTurns(places, c.now, func(who types.NamespacedName) { ready = append(ready, who) })
	for namespace := range namespaces {
		for restore := range restores {
			ready = append(ready, named(fmt.Sprint("n", namespace), fmt.Sprint(restore)))
		}
	}
	ready = append(ready, named("friendly", "a"))
	var leaves []func()
	served := 0
	for served < 10*namespaces {
		for len(ready) > 0 {
			c.at = c.at.Add(time.Millisecond)
			i := random.IntN(len(ready))
			who := ready[i]
			ready = append(ready[:i], ready[i+1:]...)
			leave := turns.take(who)
			if leave == nil {
				continue
			}
			assert.LessOrEqual(t, len(turns.running), places)
			served++
			if who.Namespace == "friendly" {
				assert.LessOrEqual(t, served, namespaces+1, "its turn comes once each other had one")
				return
			}
			leaves = append(leaves, func() { leave(); ready = append(ready, who) }) // it wants the next one at once
		}
		require.NotEmpty(t, leaves, "somebody waits and nobody runs")
		i := random.IntN(len(leaves))
		leave := leaves[i]
		leaves = append(leaves[:i], leaves[i+1:]...)
		leave()
	}
	t.Fatal("it never had a turn")
}

// TestGoneWaiters: those who wait, and are suspended or do not come, cost the others nothing.
func TestGoneWaiters(t *testing.T) {
	now := noon
	told := map[types.NamespacedName]bool{}
	turns := newTurns(1, func() time.Time { return now }, func(who types.NamespacedName) { told[who] = true })
	name := func(namespace string, n int) types.NamespacedName { return named(namespace, fmt.Sprint(n)) }
	leave := turns.take(name("running", 0))
	for n := range 100 {
		for _, namespace := range []string{"hostile", "hostile-too"} {
			require.Nil(t, turns.take(name(namespace, n)))
		}
	}
	honest := name("honest", 0)
	require.Nil(t, turns.take(honest))
	turns.forget(name("hostile", 0))
	leave()
	waited := 0
	for ; turns.take(honest) == nil; waited++ {
		now = now.Add(notYourTurn)
	}
	assert.LessOrEqual(t, waited, 2, "each namespace keeps it from its place once")
	turns.forget(name("hostile-too", 99))
	gone := name("hostile-too", 99)
	assert.False(t, slices.ContainsFunc(turns.waiting, func(w *waiter) bool { return w.who == gone }))
}
