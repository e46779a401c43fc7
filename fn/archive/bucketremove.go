package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/s3"
)

// Remove removes runs, and then what no other run refers to. What an object store refuses to delete, because it is
// locked or this user may not, stays, and a warning says so.
//
// It takes no heed of how old an object is. There is one writer, which copies and then removes: what no run refers to
// then is of no use to anybody, and the clocks of object stores tell too little to go by. When another writer begins,
// nothing more is removed, and the error is ErrTakenOver.
func (b *Bucket) Remove(ctx context.Context, runs []string) (*RemoveResult, error) {
	for _, id := range runs {
		if err := validRunID(id); err != nil {
			return nil, &UsageError{Err: fmt.Errorf("cannot remove run %q: %w", id, err)}
		}
	}
	if b.writer == "" {
		err := b.takeOver(ctx)
		if full, ok := errors.AsType[*BucketError](err); ok && full.Problem == BucketFull {
			err = b.vacate(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot remove runs of bucket %q: %w", b, err)
		}
	}
	s := &sweeper{bucket: b, result: &RemoveResult{}}
	for _, id := range runs {
		if err := s.removeRun(ctx, id); err != nil {
			return nil, fmt.Errorf("cannot remove run %q of bucket %q: %w", id, b, err)
		}
	}
	err := s.sweep(ctx)
	s.tellRefused()
	if err != nil {
		return s.result, fmt.Errorf("cannot remove all of what runs left in bucket %q: %w", b, err)
	}
	return s.result, nil
}

// sweeper is one call of Remove.
type sweeper struct {
	bucket  *Bucket
	result  *RemoveResult
	refused []s3.Refused // a few of them
	kept    int          // how many there are
}

// remove deletes objects, and returns the paths of those that stay.
func (s *sweeper) remove(ctx context.Context, objects ...s3.Object) (kept map[string]bool, err error) {
	const named = 3
	if len(objects) == 0 {
		return nil, nil
	}
	ctx = s.bucket.guarded(ctx)
	keys := make([]string, len(objects))
	for i, o := range objects {
		keys[i] = o.Key
	}
	refused, err := s.bucket.objects.Delete(ctx, keys)
	kept = make(map[string]bool, len(refused))
	for _, r := range refused {
		kept[r.Key] = true
	}
	s.kept += len(refused)
	s.refused = append(s.refused, refused[:min(len(refused), named)]...)
	if err != nil {
		return kept, bucketError(err)
	}
	for _, o := range objects {
		if !kept[o.Key] {
			s.result.FreedBytes += o.Size
		}
	}
	return kept, nil
}

func (s *sweeper) warnf(format string, args ...any) {
	s.result.Warnings = append(s.result.Warnings, fmt.Sprintf(format, args...))
}

func (s *sweeper) tellRefused() {
	if s.kept > 0 {
		s.warnf("the object store did not delete %d objects, such as %q: %v", s.kept, s.refused[0].Key, s.refused[0].Err)
	}
}

// removeRun removes a run's manifest, so that it is no run any more, and then its other objects.
func (s *sweeper) removeRun(ctx context.Context, id string) error {
	var manifest, rest []s3.Object
	err := s.bucket.list(ctx, runsDir+"/"+id+"/", true, func(path string, o s3.Object) error {
		if path == manifestPath(id) {
			manifest = append(manifest, o)
		} else if of, ok := runOf(path); ok && of == id {
			rest = append(rest, o)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(manifest)+len(rest) == 0 {
		return ErrRunNotFound
	}
	kept, err := s.remove(ctx, manifest...)
	if err != nil || len(kept) > 0 {
		return err
	}
	_, err = s.remove(ctx, rest...)
	return err
}

// sweep removes what is of no run, the trees that no run refers to, and the blobs that no other tree refers to. As long
// as it is not done, the MTREE of such a tree stays, so that the next call goes on.
func (s *sweeper) sweep(ctx context.Context) error {
	runs, err := s.bucket.readRuns(ctx)
	if err != nil {
		return err
	}
	if ok, err := s.sweepRuns(ctx, runs); err != nil || !ok {
		return err
	}
	used, known := s.usedTrees(runs)
	if !known {
		return nil
	}
	unused, err := s.unusedTrees(ctx, used)
	if err != nil || len(unused) == 0 {
		return err
	}
	if err := s.removeSums(ctx, unused, used); err != nil {
		return err
	}
	marked, ok, err := s.mark(ctx, used)
	if err != nil || !ok {
		return err
	}
	if err := s.sweepBlobs(ctx, marked); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(unused)) {
		kept, err := s.remove(ctx, slices.Collect(maps.Values(unused[name]))...)
		if err != nil {
			return err
		}
		if len(kept) == 0 {
			s.result.Trees = append(s.result.Trees, name)
		}
	}
	return nil
}

// removeSums removes the SHA256SUMS of trees that are not used, without which no copy takes them for complete.
func (s *sweeper) removeSums(ctx context.Context, unused map[string]map[string]s3.Object, used map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(unused)) {
		sums, ok := take(unused[name], lists.SumsName)
		if !ok {
			continue
		}
		kept, err := s.remove(ctx, sums)
		if err != nil {
			return err
		}
		if len(kept) > 0 {
			used[name] = "" // a copy may take it for complete: so it has to stay so
			delete(unused, name)
		}
	}
	return nil
}

// runOf returns the run whose object a path is; what else is below runs is not ours.
func runOf(path string) (id string, ok bool) {
	id, name, _ := strings.Cut(strings.TrimPrefix(path, runsDir+"/"), "/")
	if validRunID(id) != nil {
		return "", false
	}
	known := name == manifestName || name == lists.SumsName
	return id, known || validObjectPath(strings.TrimSuffix(name, ageSuffix)) == nil
}

// sweepRuns removes the objects of runs that have no manifest. Nothing may be removed if a list of all objects does not
// have the very manifests that were read: then one of the two is not all there is.
func (s *sweeper) sweepRuns(ctx context.Context, runs []RunInfo) (ok bool, _ error) {
	objects := make(map[string][]s3.Object)
	whole := make(map[string]bool)
	err := s.bucket.list(ctx, runsDir+"/", true, func(path string, o s3.Object) error {
		id, ok := runOf(path)
		if ok && path == manifestPath(id) {
			whole[id] = true
			delete(objects, id)
		} else if ok && !whole[id] {
			objects[id] = append(objects[id], o)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	read := make(map[string]bool)
	for _, r := range runs {
		read[r.ID] = true
	}
	if !maps.Equal(read, whole) {
		s.warnf("nothing more was removed, since the object store lists the manifests of %d runs, and %d could be read: %s", len(whole), len(read), differing(whole, read))
		return false, nil
	}
	for _, id := range slices.Sorted(maps.Keys(objects)) {
		if _, err := s.remove(ctx, objects[id]...); err != nil {
			return false, err
		}
	}
	return true, nil
}

// differing names a few of what only one of two sets has.
func differing(a, b map[string]bool) string {
	const most = 3
	var names []string
	for _, id := range slices.Sorted(maps.Keys(a)) {
		if !b[id] {
			names = append(names, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b)) {
		if !a[id] {
			names = append(names, id)
		}
	}
	return strings.Join(names[:min(len(names), most)], ", ")
}

// take takes an object out of those of a tree.
func take(objects map[string]s3.Object, name string) (s3.Object, bool) {
	o, ok := objects[name]
	delete(objects, name)
	return o, ok
}

// usedTrees returns the trees that runs refer to, with the digests of their SHA256SUMS. They are not known while there
// is a run whose manifest cannot be read.
func (s *sweeper) usedTrees(runs []RunInfo) (used map[string]string, known bool) {
	used = make(map[string]string)
	for _, r := range runs {
		if r.State != Complete {
			s.warnf("no tree and no blob was removed, since the tree of run %q is not known: %s", r.ID, r.Message)
			return nil, false
		}
		for _, t := range r.Manifest.trees() {
			used[t.name] = t.digests.Files
		}
	}
	return used, true
}

// unusedTrees returns the objects of the other trees, by the names of trees and of objects.
func (s *sweeper) unusedTrees(ctx context.Context, used map[string]string) (map[string]map[string]s3.Object, error) {
	unused := make(map[string]map[string]s3.Object)
	err := s.bucket.list(ctx, treesDir+"/", true, func(path string, o s3.Object) error {
		tree, name, _ := strings.Cut(strings.TrimPrefix(path, treesDir+"/"), "/")
		if _, ok := used[tree]; ok || !lists.IsDigest(tree) || !lists.IsOfTree(name) {
			return nil
		}
		if unused[tree] == nil {
			unused[tree] = make(map[string]s3.Object)
		}
		unused[tree][name] = o
		return nil
	})
	return unused, err
}

// mark returns the blobs that trees refer to. A list that cannot be read may refer to any.
func (s *sweeper) mark(ctx context.Context, trees map[string]string) (marked *blobSet, ok bool, err error) {
	marked = &blobSet{}
	for _, name := range slices.Sorted(maps.Keys(trees)) {
		err := s.markTree(ctx, name, trees[name], marked)
		if notLooked(err) {
			return nil, false, err
		}
		if err != nil {
			s.warnf("no blob was removed, since the list of tree %s is damaged: %v", name, err)
			return nil, false, nil
		}
	}
	return marked, true, nil
}

func (s *sweeper) markTree(ctx context.Context, name, want string, marked *blobSet) error {
	f, err := s.bucket.folder(ctx, treesDir+"/"+name).OpenHashed(lists.SumsName)
	if err != nil {
		return err
	}
	defer f.Close()
	r := lists.NewSumsReader(f)
	for {
		sum, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if strings.HasPrefix(sum.Path, lists.FilesDir+"/") {
			marked.add(sum.SHA256, 0)
		}
	}
	if want == "" {
		return nil // no run tells its digest
	}
	return f.Prove(lists.SumsName, want)
}

// sweepBlobs removes the blobs that are not marked, a few at a time.
func (s *sweeper) sweepBlobs(ctx context.Context, marked *blobSet) error {
	const atOnce = 1000
	var batch []s3.Object
	err := s.bucket.list(ctx, blobsDir+"/", true, func(path string, o s3.Object) error {
		digest, ok := blobDigest(path)
		if !ok || marked.has(digest, 0) {
			return nil
		}
		if batch = append(batch, o); len(batch) < atOnce {
			return nil
		}
		_, err := s.remove(ctx, batch...)
		batch = batch[:0]
		return err
	})
	if err != nil {
		return err
	}
	_, err = s.remove(ctx, batch...)
	return err
}
