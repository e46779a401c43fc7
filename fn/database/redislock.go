package database

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"
)

const (
	// lockTime is for how long the lock is there when nobody renews it: so much later, another load may begin.
	lockTime = 15 * time.Second
	// lockPause is how often a lock that another load has is tried.
	lockPause = 200 * time.Millisecond
	// releaseTime is how long it may take to take leave of a server.
	releaseTime = time.Second
)

// redisLock is a key that keeps other loads out of an index for as long as it is renewed. It is not what data depend on:
// whoever was held up for longer than lockTime learns of that by the mark.
type redisLock struct {
	conn          *redisConn
	token         string // its value
	stop, stopped chan struct{}
}

// lockRedis waits for the lock. It is released even if ctx has ended by then.
func lockRedis(ctx context.Context, o LoadOptions) (*redisLock, error) {
	conn, err := openRedis(context.WithoutCancel(ctx), o.Connection)
	if err != nil {
		return nil, err
	}
	l := &redisLock{conn, rand.Text(), make(chan struct{}), make(chan struct{})}
	if err := l.wait(ctx, o); err != nil {
		conn.close()
		return nil, err
	}
	go l.renew()
	return l, nil
}

func (l *redisLock) wait(ctx context.Context, o LoadOptions) error {
	for deadline := time.Now().Add(o.patience()); ; {
		if taken, err := l.set("NX"); taken || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return o.locked(fmt.Sprintf("if its pod is gone, so is its lock after %s", lockTime))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPause):
		}
	}
}

// sendLock sets the lock.
func sendLock(c *redisConn, token string, more ...string) {
	c.send(append([]string{"SET", lockKey, token, "PX", strconv.FormatInt(lockTime.Milliseconds(), 10)}, more...)...)
}

// set sets the lock if there is none (NX), or if there is one (XX). It reports whether it did.
func (l *redisLock) set(condition string) (bool, error) {
	sendLock(l.conn, l.token, condition)
	if err := l.conn.flush(); err != nil {
		return false, err
	}
	return l.conn.done("SET")
}

// done reads an answer that is OK, or none.
func (c *redisConn) done(command string) (bool, error) {
	kind, err := c.r.Peek(1)
	if err != nil {
		return false, unexpected(err)
	}
	if kind[0] == respBulk {
		_, ok, err := c.value(command)
		return ok, err
	}
	err = c.status(command)
	return err == nil, err
}

// own reports whether the lock is still that of this load, or nobody's.
func (l *redisLock) own() (own, there bool, err error) {
	l.conn.send("GET", lockKey)
	if err := l.conn.flush(); err != nil {
		return false, false, err
	}
	token, there, err := l.conn.value("GET")
	return err == nil && (!there || token == l.token), there, err
}

// renew renews the lock until it is released, or lost.
func (l *redisLock) renew() {
	defer close(l.stopped)
	const often = 3
	ticker := time.NewTicker(lockTime / often)
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-ticker.C:
		}
		own, there, err := l.own()
		if err != nil || !own {
			return
		}
		condition := "NX"
		if there {
			condition = "XX"
		}
		if set, err := l.set(condition); err != nil || !set && !there {
			return
		}
	}
}

// release removes the lock. If it cannot, the lock expires.
func (l *redisLock) release() {
	timer := time.AfterFunc(releaseTime, func() { _ = l.conn.conn.Close() })
	defer timer.Stop()
	defer l.conn.close()
	close(l.stop)
	<-l.stopped
	if own, there, err := l.own(); err != nil || !own || !there {
		return
	}
	l.conn.send("DEL", lockKey)
	if l.conn.flush() == nil {
		_, _ = l.conn.integer("DEL")
	}
}
