package s3

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestWait(t *testing.T) {
	usual := Backoff{}.orUsual()
	assert.GreaterOrEqual(t, usual.Patience, 2*time.Minute, "who is busy for a minute is survived")
	for failures, most := range []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second} {
		for range 100 {
			wait := usual.wait(failures)
			assert.LessOrEqual(t, wait, most)
			assert.GreaterOrEqual(t, wait, most/2)
		}
	}
	assert.LessOrEqual(t, usual.wait(1000), usual.Longest, "no overflow")
	assert.Positive(t, usual.wait(1000))
}

func TestPatience(t *testing.T) {
	c := &Client{opts: Options{Backoff: Backoff{}.orUsual()}}
	refused, busy := &Error{Unreachable, &net.OpError{Op: "dial", Err: errors.New("refused")}}, &Error{Unreachable, errors.New("busy")}
	assert.Equal(t, firstContact, c.patience(refused), "a name that is wrong")
	assert.Equal(t, c.opts.Backoff.Patience, c.patience(busy))
	c.reached.Store(true)
	assert.Equal(t, c.opts.Backoff.Patience, c.patience(refused), "one that restarts")
}

func TestPartLength(t *testing.T) {
	for size, want := range map[int64]int64{
		usualPartSize + 1:          usualPartSize,
		usualPartSize * maxParts:   usualPartSize,
		usualPartSize*maxParts + 1: usualPartSize + 1<<20,
		5 << 40:                    525 << 20,
	} {
		length := partLength(size, usualPartSize)
		assert.Equal(t, want, length)
		assert.LessOrEqual(t, (size+length-1)/length, int64(maxParts))
	}
}

func TestSaidIsOneLineWithoutCredentials(t *testing.T) {
	c := &Client{opts: Options{Credentials: Credentials{AccessKey: "AKID", SecretKey: "s3cr3t", SessionToken: "t0ken"}}}
	err := c.said("InvalidAccessKeyId", "The key AKID with s3cr3t and t0ken\nis\x1b[31m unknown")
	assert.EqualError(t, err, "it answers InvalidAccessKeyId: The key [redacted] with [redacted] and [redacted]")
	assert.EqualError(t, c.said("No\nt0ken", "is t0ken"), "it answers No: is [redacted]")
	assert.EqualError(t, c.said("t0ken", "is wrong"), "it answers [redacted]: is wrong")
	assert.Less(t, len(c.said("X", string(make([]byte, 1000))+"<html>").Error()), 300)
}
