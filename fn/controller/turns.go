package controller

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// stale is how long a place is kept for a restore that was told of it.
const stale = 10 * time.Second

// turns says whose child process may run: a number of them at once, and one of each namespace. Nobody
// blocks: a restore that gets no place is told when there is one. Places go to the namespace that was
// served the longest time ago.
type turns struct {
	// tell wakes a restore that may try again. It is called without the lock.
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

// take returns a function that gives the place back; nil if there is no place, and the restore is told
// later.
func (t *turns) take(who types.NamespacedName) (leave func()) {
	t.change(func() {
		t.passOver(who)
		at := slices.IndexFunc(t.waiting, func(w *waiter) bool { return w.who == who })
		if at < 0 {
			at = len(t.waiting)
			t.waiting = append(t.waiting, &waiter{who: who})
		}
		if mine := t.waiting[at]; !slices.Contains(t.next(), mine) {
			mine.told = time.Time{}
			return
		}
		t.waiting = slices.Delete(t.waiting, at, at+1)
		t.running[who.Namespace] = true
		leave = sync.OnceFunc(func() { t.leave(who.Namespace) })
	})
	return leave
}

// change changes who runs and who waits, and then tells those whose turn has come.
func (t *turns) change(change func()) {
	t.mutex.Lock()
	change()
	told := t.due()
	t.mutex.Unlock()
	for _, who := range told {
		t.tell(who)
	}
}

// due returns the waiters that are next and were not told, and marks them as told.
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

// next returns the waiters that the free places are for.
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

// passOver drops waiters that were told and did not come, except who. The other waiters of their
// namespaces go to the end, as if they had been served.
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

// goBehind moves the waiters of a namespace to the end.
func (t *turns) goBehind(namespace string) {
	var before, behind []*waiter
	for _, w := range t.waiting {
		if w.who.Namespace == namespace {
			behind = append(behind, w)
		} else {
			before = append(before, w)
		}
	}
	t.waiting = slices.Concat(before, behind)
}

// forget drops a restore that is gone or needs no turn any more.
func (t *turns) forget(who types.NamespacedName) {
	t.change(func() { t.waiting = slices.DeleteFunc(t.waiting, func(w *waiter) bool { return w.who == who }) })
}

// leave frees the place of a namespace.
func (t *turns) leave(namespace string) {
	t.change(func() {
		delete(t.running, namespace)
		t.goBehind(namespace) // the others of the namespace that was served
	})
}
