package controller

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// looks are the restores that are to be looked at, in the order in which that was asked for. One that
// is called comes before all others, once: a place for a child process is kept for it, and is idle until
// then.
type looks struct {
	due []reconcile.Request

	mutex  sync.Mutex
	called map[types.NamespacedName]bool
}

func newLooks() *looks { return &looks{called: map[types.NamespacedName]bool{}} }

// call has a restore come first the next time.
func (l *looks) call(who types.NamespacedName) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.called[who] = true
}

// Touch implements [workqueue.Queue].
func (*looks) Touch(reconcile.Request) {}

// Push implements [workqueue.Queue].
func (l *looks) Push(due reconcile.Request) { l.due = append(l.due, due) }

// Len implements [workqueue.Queue].
func (l *looks) Len() int { return len(l.due) }

// Pop implements [workqueue.Queue].
func (l *looks) Pop() reconcile.Request {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	at := max(0, slices.IndexFunc(l.due, func(due reconcile.Request) bool { return l.called[due.NamespacedName] }))
	due := l.due[at]
	l.due = slices.Delete(l.due, at, at+1)
	delete(l.called, due.NamespacedName)
	return due
}

// queue is the controller's.
func (l *looks) queue(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	queue := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[reconcile.Request]{Name: name, Queue: l})
	delaying := workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[reconcile.Request]{Name: name, Queue: queue})
	return workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[reconcile.Request]{Name: name, DelayingQueue: delaying})
}
