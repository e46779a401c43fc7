package controller

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// stale is how long the place that a waiting restore was told of is kept for it.
const stale = 10 * time.Second

// turns says whose child process may run: so many at once, and one of each namespace. Nobody blocks. Who gets no place waits outside,
// and is told when there is one for him: of the namespaces that wait, the one that has waited for the longest time since it was served.
type turns struct {
	// tell is called with who may try again, without the lock being held by him.
	tell func(types.NamespacedName)
	now  func() time.Time

	mutex   sync.Mutex
	places  int
	running map[string]bool // namespaces
	waiting []*waiter       // the next one first
}

// waiter is a restore without a place.
type waiter struct {
	who  types.NamespacedName
	told time.Time // zero: not yet
}

func newTurns(places int, now func() time.Time, tell func(types.NamespacedName)) *turns {
	return &turns{tell: tell, now: now, places: places, running: map[string]bool{}}
}

// take returns how to give the place back, or nil: then who asks is told later.
func (t *turns) take(who types.NamespacedName) (leave func()) {
	t.mutex.Lock()
	t.passOver(who)
	mine := t.find(who)
	if mine == nil {
		mine = &waiter{who: who}
		t.waiting = append(t.waiting, mine)
	}
	if slices.Contains(t.next(), mine) {
		t.waiting = slices.DeleteFunc(t.waiting, func(w *waiter) bool { return w == mine })
		t.running[who.Namespace] = true
		leave = sync.OnceFunc(func() { t.leave(who.Namespace) })
	} else {
		mine.told = time.Time{}
	}
	told := t.due()
	t.mutex.Unlock()
	t.tellAll(told)
	return leave
}

// due are those that are next and do not know it, which they do then.
func (t *turns) due() []types.NamespacedName {
	var due []types.NamespacedName
	for _, w := range t.next() {
		if w.told.IsZero() {
			w.told = t.now()
			due = append(due, w.who)
		}
	}
	return due
}

func (t *turns) tellAll(who []types.NamespacedName) {
	for _, each := range who {
		t.tell(each)
	}
}

func (t *turns) find(who types.NamespacedName) *waiter {
	index := slices.IndexFunc(t.waiting, func(w *waiter) bool { return w.who == who })
	if index < 0 {
		return nil
	}
	return t.waiting[index]
}

// next are those that the free places are for.
func (t *turns) next() []*waiter {
	var next []*waiter
	taken := map[string]bool{}
	for _, w := range t.waiting {
		if len(t.running)+len(next) >= t.places {
			break
		}
		if !t.running[w.who.Namespace] && !taken[w.who.Namespace] {
			taken[w.who.Namespace] = true
			next = append(next, w)
		}
	}
	return next
}

// passOver drops those who were told and did not come, but for who asks now. What
// else waits of their namespaces goes behind all, as if they had been served.
func (t *turns) passOver(who types.NamespacedName) {
	gone := func(w *waiter) bool { return !w.told.IsZero() && t.now().Sub(w.told) > stale && w.who != who }
	var late []string
	for _, w := range t.waiting {
		if gone(w) {
			late = append(late, w.who.Namespace)
		}
	}
	t.waiting = slices.DeleteFunc(t.waiting, gone)
	for _, namespace := range late {
		t.goBehind(namespace)
	}
}

// goBehind puts those of a namespace behind all others.
func (t *turns) goBehind(namespace string) {
	slices.SortStableFunc(t.waiting, func(a, b *waiter) int {
		return boolToInt(a.who.Namespace == namespace) - boolToInt(b.who.Namespace == namespace)
	})
}

// forget drops a restore that is gone, or does not want its turn any more.
func (t *turns) forget(who types.NamespacedName) {
	t.mutex.Lock()
	t.waiting = slices.DeleteFunc(t.waiting, func(w *waiter) bool { return w.who == who })
	told := t.due()
	t.mutex.Unlock()
	t.tellAll(told)
}

// leave gives a namespace's place to whose turn it is.
func (t *turns) leave(namespace string) {
	t.mutex.Lock()
	delete(t.running, namespace)
	t.goBehind(namespace) // the others of the namespace that was served
	told := t.due()
	t.mutex.Unlock()
	t.tellAll(told)
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
