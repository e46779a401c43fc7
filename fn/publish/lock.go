package publish

import (
	"context"
	"sync"
)

// branches has one lock for each branch that somebody in this process pushes
// to: they take turns instead of losing races to each other.
var branches = locks{held: map[string]*turn{}}

type locks struct {
	mutex sync.Mutex
	held  map[string]*turn
}

type turn struct {
	token   chan struct{}
	waiting int
}

// lock waits for a key's turn and returns how to end it.
func (l *locks) lock(ctx context.Context, key string) (func(), error) {
	l.mutex.Lock()
	mine := l.held[key]
	if mine == nil {
		mine = &turn{token: make(chan struct{}, 1)}
		l.held[key] = mine
	}
	mine.waiting++
	l.mutex.Unlock()

	leave := func() {
		l.mutex.Lock()
		defer l.mutex.Unlock()
		if mine.waiting--; mine.waiting == 0 {
			delete(l.held, key)
		}
	}
	select {
	case mine.token <- struct{}{}:
		return func() { <-mine.token; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
