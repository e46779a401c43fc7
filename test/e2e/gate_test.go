//go:build e2e

package e2e

import (
	"context"
	"encoding/binary"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// gate holds every process that opens a file, until it is opened: a test stops
// a run in the middle with it, at a moment that does not depend on how fast
// the machine is. The kernel does it (fanotify); nothing else can stop a reader
// that opens without blocking.
type gate struct {
	t       *testing.T
	group   *os.File
	waiting chan struct{}
	once    sync.Once
}

// newGate closes the gate at a file.
func newGate(t *testing.T, path string) *gate {
	t.Helper()
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY|unix.O_LARGEFILE)
	require.NoError(t, err)
	g := &gate{t: t, group: os.NewFile(uintptr(fd), "fanotify"), waiting: make(chan struct{}, 1)}
	require.NoError(t, unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_PERM, -1, path))
	t.Cleanup(g.open)
	go g.watch()
	return g
}

// watch takes note of who waits, and answers nobody.
func (g *gate) watch() {
	buffer := make([]byte, 4096)
	for {
		n, err := g.group.Read(buffer)
		if err != nil {
			return
		}
		for event := buffer[:n]; len(event) >= unix.FAN_EVENT_METADATA_LEN; {
			length := binary.NativeEndian.Uint32(event)
			if file := int32(binary.NativeEndian.Uint32(event[16:])); file >= 0 {
				_ = unix.Close(int(file)) // the descriptor of the file is of no use here
			}
			event = event[length:]
			select {
			case g.waiting <- struct{}{}:
			default:
			}
		}
	}
}

// reached waits until somebody stands at the gate.
func (g *gate) reached() {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	select {
	case <-g.waiting:
	case <-ctx.Done():
		require.Fail(g.t, "nobody opened the file", "within %s", patience.Round(time.Second))
	}
}

// open lets everybody pass, from now on. The kernel does when the group closes.
func (g *gate) open() {
	g.once.Do(func() { _ = g.group.Close() })
}
