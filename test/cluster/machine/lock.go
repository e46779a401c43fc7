//go:build linux

package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const lockInterval = 100 * time.Millisecond

// Lock waits until no other harness runs on this machine. The kernel drops
// the lock when its holder dies.
func Lock(ctx context.Context, logf func(string, ...any)) (*os.File, error) {
	if err := os.MkdirAll(Folder, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create folder %q: %w", Folder, err)
	}
	path := filepath.Join(Folder, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open lock %q: %w", path, err)
	}
	for told := false; ; told = true {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if err != unix.EWOULDBLOCK {
			_ = f.Close() // The error that matters is the lock's.
			return nil, fmt.Errorf("cannot take lock %q: %w", path, err)
		}
		if !told {
			logf("another test cluster runs on this machine, waiting for it to end (lock %s)", path)
		}
		select {
		case <-ctx.Done():
			_ = f.Close() // The error that matters is the context's.
			return nil, fmt.Errorf("cannot take lock %q: %w", path, context.Cause(ctx))
		case <-time.After(lockInterval):
		}
	}
}
