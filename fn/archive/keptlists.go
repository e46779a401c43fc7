package archive

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"sync"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

// keptLists are the lists of a tree in a bucket, as far as they are short. They are read several times, and to wait for
// them would be most of what a small restore takes. What is kept is proven whenever it is read, as what is read is.
type keptLists struct {
	mu    sync.Mutex
	lists map[string]keptList // by name
}

// keptList is what a list has, or that there is none.
type keptList struct {
	data []byte
	err  error
}

// maxKept is how long a list may be to be kept. Those of more files take little of the time that the files take.
const maxKept = 2 << 20

func (k *keptLists) find(name string) (keptList, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list, ok := k.lists[name]
	return list, ok
}

func (k *keptLists) keep(name string, list keptList) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lists == nil {
		k.lists = make(map[string]keptList)
	}
	k.lists[name] = list
}

// keptFolder reads each list of a folder once if it is short.
type keptFolder struct {
	lists.Folder
	kept *keptLists
}

// OpenHashed opens a list.
func (f keptFolder) OpenHashed(name string) (*dirfd.HashedFile, error) {
	if list, ok := f.kept.find(name); ok {
		return list.open()
	}
	in, err := f.Folder.OpenHashed(name)
	if errors.Is(err, fs.ErrNotExist) {
		f.kept.keep(name, keptList{err: err})
	}
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(in, maxKept+1))
	if err == nil && len(data) > maxKept {
		return dirfd.NewHashed(started{io.MultiReader(bytes.NewReader(data), in), in}), nil
	}
	if err := errors.Join(err, in.Close()); err != nil {
		return nil, err
	}
	list := keptList{data: data}
	f.kept.keep(name, list)
	return list.open()
}

func (l keptList) open() (*dirfd.HashedFile, error) {
	if l.err != nil {
		return nil, l.err
	}
	return dirfd.NewHashed(io.NopCloser(bytes.NewReader(l.data))), nil
}

// started is a file whose beginning was read.
type started struct {
	io.Reader
	io.Closer
}
