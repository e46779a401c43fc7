package controller

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// TestCalledComesFirst: who is called comes before all others, and only once, however often it is woken.
func TestCalledComesFirst(t *testing.T) {
	l := newLooks()
	push := func(names ...string) {
		for _, name := range names {
			l.Push(reconcile.Request{NamespacedName: named("n", name)})
		}
	}
	push("a", "b", "c")
	l.call(named("n", "c"))
	l.call(named("n", "later"))
	assert.Equal(t, "c", l.Pop().Name)
	push("c")
	assert.Equal(t, "a", l.Pop().Name)
	push("later")
	assert.Equal(t, "later", l.Pop().Name, "called before it was there")
	assert.Equal(t, "b", l.Pop().Name)
	assert.Equal(t, "c", l.Pop().Name)
	assert.Zero(t, l.Len())
	assert.Empty(t, l.called)
}

// busy is a controller that takes some time for each look, as while all restores together have used up
// what the controller may ask of the API server.
type busy struct {
	clock
	*looks
	timers []timer
}

type timer struct {
	at time.Time
	do func()
}

func (b *busy) add(who types.NamespacedName) {
	if request := (reconcile.Request{NamespacedName: who}); !slices.Contains(b.due, request) {
		b.Push(request)
	}
}

func (b *busy) after(d time.Duration, do func()) {
	b.timers = append(b.timers, timer{b.at.Add(d), do})
	slices.SortStableFunc(b.timers, func(a, b timer) int { return a.at.Compare(b.at) })
}

// next returns who is looked at next, once the last look has taken its time.
func (b *busy) next(took time.Duration) types.NamespacedName {
	b.at = b.at.Add(took)
	for len(b.timers) > 0 && (b.Len() == 0 || !b.timers[0].at.After(b.at)) {
		due := b.timers[0]
		b.timers = b.timers[1:]
		if due.at.After(b.at) {
			b.at = due.at
		}
		due.do()
	}
	return b.Pop().NamespacedName
}

// TestTurnsUnderLoad: a hundred restores at once keep the controller so busy that a look is late by more
// than a place is kept. The places are in use all the same: nobody waits much longer than for the looks.
func TestTurnsUnderLoad(t *testing.T) {
	const (
		namespaces, each, turnsEach = 20, 5, 3
		look, turn, pod             = 300 * time.Millisecond, time.Second, 20 * time.Second
		events                      = 5 // of a pod, each of which wakes its restore
	)
	c := &busy{clock: clock{at: noon}, looks: newLooks()}
	turns := newTurns(2, c.now, func(who types.NamespacedName) {
		c.call(who)
		c.add(who)
	})
	left, inPod := map[types.NamespacedName]int{}, map[types.NamespacedName]bool{}
	for n := range namespaces {
		for r := range each {
			who := named(fmt.Sprint(n), fmt.Sprint(r))
			left[who] = turnsEach
			c.add(who)
		}
	}
	made := 0
	for ; len(left) > 0 && made < 100000; made++ {
		who := c.next(look)
		if left[who] == 0 || inPod[who] {
			continue
		}
		leave := turns.take(who)
		if leave == nil {
			c.after(notYourTurn, func() { c.add(who) })
			continue
		}
		c.after(turn, func() {
			leave()
			if left[who]--; left[who] == 0 {
				delete(left, who)
				return
			}
			inPod[who] = true
			for n := range events {
				c.after(pod*time.Duration(n)/events, func() { c.add(who) })
			}
			c.after(pod, func() {
				inPod[who] = false
				c.add(who)
			})
		})
	}
	const useful = namespaces * each * (turnsEach + (turnsEach-1)*events) * look
	took := c.at.Sub(noon)
	t.Logf("%d looks took %s; those that had to be took %s", made, took, useful)
	assert.Empty(t, left)
	assert.Less(t, took, useful)
}
