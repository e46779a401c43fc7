package archive

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/seal"
)

// Objects returns the objects in the order of their list, each proven by its digest and decrypted. Errors are
// ErrNoIdentity and IntegrityError. Of an unverified run it returns the good objects also with an IntegrityError.
func (r *Run) Objects(ctx context.Context, identities ...age.Identity) ([]ObjectFile, error) {
	if r.info.State == Unverified {
		return r.operatorObjects()
	}
	list, err := r.objectSums(ctx)
	if err != nil {
		return nil, r.unread(err, Problem{Path: r.info.path(lists.SumsName), Kind: Malformed})
	}
	objects := make([]ObjectFile, len(list))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.stored.workers())
	run := r.stored.folder(ctx, runsDir+"/"+r.info.ID)
	room := r.objectRoom()
	for i, s := range list {
		g.Go(func() (err error) {
			objects[i], err = r.object(run, s, room, identities)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return objects, nil
}

func (r *Run) objectSums(ctx context.Context) ([]lists.Sum, error) {
	return readRunSums(r.stored.folder(ctx, runsDir+"/"+r.info.ID), r.info.Manifest)
}

// objectRoom bounds what the objects of a run take together, by what its manifest says of them.
type objectRoom struct {
	left atomic.Int64
}

func (r *Run) objectRoom() *objectRoom {
	const header = 64 << 10 // of an age stream, at most; the rest of what it adds is less than a thousandth
	t := r.info.Manifest.Totals
	all := t.ObjectBytes
	if r.info.Manifest.Encryption != nil {
		all += all/1000 + t.Objects*header
	}
	return newObjectRoom(all)
}

func newObjectRoom(all int64) *objectRoom {
	room := &objectRoom{}
	room.left.Store(all)
	return room
}

// read reads an object, and fails if it and those before it are more than there can be.
func (o *objectRoom) read(run folder, path string) ([]byte, error) {
	data, err := run.ReadFile(path, min(max(0, o.left.Load()), maxUnknownSize))
	if err == nil && o.left.Add(-int64(len(data))) < 0 {
		return nil, errors.New("the objects have more bytes than manifest.json says")
	}
	return data, err
}

func (r *Run) object(run folder, s lists.Sum, room *objectRoom, identities []age.Identity) (ObjectFile, error) {
	data, err := room.read(run, s.Path)
	if err != nil {
		return ObjectFile{}, r.unread(err, Problem{Path: r.info.path(s.Path), Kind: Missing})
	}
	if got := dirfd.DigestOf(data); got != s.SHA256 {
		return ObjectFile{}, r.damaged(digestProblem(r.info.path(s.Path), got, s.SHA256))
	}
	path, sealed := strings.CutSuffix(s.Path, ageSuffix)
	if sealed != (r.info.Manifest.Encryption != nil) {
		return ObjectFile{}, r.damaged(Problem{Path: r.info.path(s.Path), Kind: Malformed, Got: "not encrypted as the manifest says"})
	}
	if !sealed {
		return ObjectFile{Path: path, Data: data}, nil
	}
	plain, err := seal.Open(strings.NewReader(string(data)), identities)
	if err == nil {
		data, err = dirfd.ReadAtMost(plain, maxUnknownSize)
	}
	if errors.Is(err, ErrNoIdentity) {
		return ObjectFile{}, fmt.Errorf("cannot decrypt object %q: %w", path, err)
	}
	if err != nil {
		return ObjectFile{}, r.damaged(Problem{Path: r.info.path(s.Path), Kind: Malformed, Got: err.Error()})
	}
	return ObjectFile{Path: path, Data: data}, nil
}

func (r *Run) operatorObjects() ([]ObjectFile, error) {
	paths, err := r.volume.operatorObjects()
	if err != nil {
		return nil, err
	}
	var objects []ObjectFile
	var problems []Problem
	for _, path := range paths {
		data, problem, err := r.volume.readOperatorObject(path)
		if err != nil {
			return nil, err
		}
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		objects = append(objects, ObjectFile{Path: path, Data: data})
	}
	if len(problems) > 0 {
		return objects, r.damaged(problems...)
	}
	return objects, nil
}
