// Package disk is a disk whose power a test cuts: it notes what a file system
// writes to it and when it is told to make that durable. What was written since
// then, a cut may drop, in blocks and in any order, as the cache of a disk does.
//
// The disk is the only file of a file system in user space, and the kernel's
// own file systems are on it, through a loop device. So what is proven is
// proven of ext4 and XFS as they are. It needs Linux, root and /dev/fuse.
package disk

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// block is what a disk writes whole or not at all.
const block = 4096

// Disk is a disk with a file system.
type Disk struct {
	kind string // of the file system
	dir  string
	path string // the disk, as the loop device sees it

	mu     sync.Mutex
	image  *os.File // what was written to it
	noted  []event  // from Note to End
	noting bool
}

// event is a block that was written, or, without data, that all before it was made durable.
type event struct {
	offset int64
	data   []byte
}

// New makes a disk with a file system of a kind that mkfs knows: ext4 or xfs. It is there until the test ends.
func New(tb testing.TB, kind string) *Disk {
	tb.Helper()
	d := &Disk{kind: kind, dir: tb.TempDir()}
	var err error
	d.image, err = os.Create(filepath.Join(d.dir, "image"))
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, d.image.Close()) })
	size, options := int64(64<<20), []string{"-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"}
	if kind == "xfs" {
		size, options = 320<<20, []string{"-q"}
	}
	require.NoError(tb, d.image.Truncate(size))
	run(tb, "mkfs."+kind, append(options, d.image.Name())...)
	mount := filepath.Join(d.dir, "mount")
	require.NoError(tb, os.Mkdir(mount, 0o700))
	server, err := fs.Mount(mount, &root{disk: d}, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "disk"}})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, server.Unmount()) })
	d.path = filepath.Join(mount, name)
	return d
}

// Image mounts a file system of so many bytes that is made with options of mkfs, until the test ends. Its power is never
// cut. What it does not hold takes no space. It needs Linux and root.
func Image(tb testing.TB, kind string, size int64, options ...string) (dir string) {
	tb.Helper()
	image, err := os.Create(filepath.Join(tb.TempDir(), "image"))
	require.NoError(tb, err)
	require.NoError(tb, errors.Join(image.Truncate(size), image.Close()))
	run(tb, "mkfs."+kind, append(append([]string{"-q"}, options...), image.Name())...)
	dir, _ = mount(tb, kind, image.Name())
	return dir
}

func run(tb testing.TB, program string, arguments ...string) {
	tb.Helper()
	out, err := exec.CommandContext(context.Background(), program, arguments...).CombinedOutput()
	require.NoError(tb, err, "%s %v: %s", program, arguments, out)
}

// Mount mounts the disk until unmount is called.
func (d *Disk) Mount(tb testing.TB) (dir string, unmount func()) {
	tb.Helper()
	return mount(tb, d.kind, d.path)
}

func mount(tb testing.TB, kind, device string) (string, func()) {
	tb.Helper()
	dir := tb.TempDir()
	run(tb, "mount", "-o", "loop,noatime", "-t", kind, device, dir)
	unmount := sync.OnceFunc(func() { run(tb, "umount", dir) })
	tb.Cleanup(unmount)
	return dir, unmount
}

// Note begins to note what is written.
func (d *Disk) Note(tb testing.TB) *Notes {
	tb.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	n := &Notes{disk: d, durable: filepath.Join(d.dir, "durable")}
	run(tb, "cp", "--sparse=always", d.image.Name(), n.durable)
	d.noted, d.noting = nil, true
	return n
}

// Notes is what was written to a disk.
type Notes struct {
	disk    *Disk
	durable string // the disk as of the event before which all was made durable last
	upTo    int    // that event
}

// End ends the notes.
func (n *Notes) End() {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	n.disk.noting = false
}

// Events returns how many blocks were written, and how often all was made durable.
func (n *Notes) Events() int {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	return len(n.disk.noted)
}

// Lost says what a cut loses of what was not made durable.
type Lost int

// What a cut loses.
const (
	All    Lost = iota // of it
	Some               // of it: each block is there or not, by chance
	Newest             // what was written last, whatever came before
	Oldest             // what was written first, as a disk that reorders may
)

// Cut mounts the disk as it is once the power was cut after so many events, until unmount is called. Cuts are made in the order
// of their events.
func (n *Notes) Cut(tb testing.TB, after int, lost Lost, random *rand.Rand) (dir string, unmount func()) {
	tb.Helper()
	n.disk.mu.Lock()
	events := n.disk.noted[:after]
	n.disk.mu.Unlock()
	last := n.upTo
	for i := n.upTo; i < after; i++ {
		if events[i].data == nil {
			last = i
		}
	}
	write(tb, n.durable, events[n.upTo:last])
	n.upTo = last
	cut := filepath.Join(tb.TempDir(), "cut")
	run(tb, "cp", "--sparse=always", n.durable, cut)
	pending := events[last:]
	kept := pending[:0:0]
	for i, e := range pending {
		switch {
		case lost == Some && random.IntN(2) == 0, lost == Newest && i < len(pending)/2, lost == Oldest && i >= len(pending)/2:
			kept = append(kept, e)
		}
	}
	write(tb, cut, kept)
	return mount(tb, n.disk.kind, cut)
}

func write(tb testing.TB, image string, events []event) {
	tb.Helper()
	f, err := os.OpenFile(image, os.O_WRONLY, 0)
	require.NoError(tb, err)
	for _, e := range events {
		_, err := f.WriteAt(e.data, e.offset)
		require.NoError(tb, err)
	}
	require.NoError(tb, f.Close())
}

// name is that of the only file.
const name = "disk"

// root is the directory with the only file.
type root struct {
	fs.Inode

	disk *Disk
}

// OnAdd makes the file.
func (r *root) OnAdd(ctx context.Context) {
	file := r.NewPersistentInode(ctx, &file{disk: r.disk}, fs.StableAttr{Mode: fuse.S_IFREG})
	r.AddChild(name, file, false)
}

// file is the disk.
type file struct {
	fs.Inode

	disk *Disk
}

var (
	_ fs.NodeOnAdder   = (*root)(nil)
	_ fs.NodeGetattrer = (*file)(nil)
	_ fs.NodeSetattrer = (*file)(nil)
	_ fs.NodeOpener    = (*file)(nil)
	_ fs.NodeReader    = (*file)(nil)
	_ fs.NodeWriter    = (*file)(nil)
	_ fs.NodeFsyncer   = (*file)(nil)
)

// Getattr tells the size of the disk.
func (f *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	info, err := f.disk.image.Stat()
	if err != nil {
		return fs.ToErrno(err)
	}
	out.Mode, out.Size = fuse.S_IFREG|0o600, uint64(info.Size())
	return fs.OK
}

// Setattr leaves the attributes as they are: the kernel sets times.
func (f *file) Setattr(ctx context.Context, handle fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return f.Getattr(ctx, handle, out)
}

// Open opens the disk.
func (f *file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, fs.OK
}

// Read reads from the disk.
func (f *file) Read(_ context.Context, _ fs.FileHandle, dest []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	n, err := unix.Pread(int(f.disk.image.Fd()), dest, offset)
	if err != nil {
		return nil, fs.ToErrno(err)
	}
	return fuse.ReadResultData(dest[:n]), fs.OK
}

// Write writes to the disk, and notes it.
func (f *file) Write(_ context.Context, _ fs.FileHandle, data []byte, offset int64) (uint32, syscall.Errno) {
	d := f.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.image.WriteAt(data, offset); err != nil {
		return 0, fs.ToErrno(err)
	}
	for rest := data; d.noting && len(rest) > 0; {
		at := offset + int64(len(data)-len(rest))
		n := min(int64(len(rest)), block-at%block)
		d.noted = append(d.noted, event{at, append([]byte(nil), rest[:n]...)})
		rest = rest[n:]
	}
	return uint32(len(data)), fs.OK
}

// Fsync notes that all that was written is durable.
func (f *file) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.noting {
		f.disk.noted = append(f.disk.noted, event{})
	}
	return fs.OK
}
