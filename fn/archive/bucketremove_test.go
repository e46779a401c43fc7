package archive

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/test/objectstore"
)

// threeRuns copies three runs, of which the first two share a tree, and all share files.
func threeRuns(t *testing.T, b *Bucket) (f *fixture, trees []string) {
	t.Helper()
	f = newFixture(t)
	f.addSome()
	trees = append(trees, f.write("r1").Manifest.Tree, f.write("r2").Manifest.Tree)
	f.add(aFile, "deny from all")
	trees = append(trees, f.write("r3").Manifest.Tree)
	copyRuns(t, b, f.volume, "r1", "r2", "r3")
	return f, trees
}

// TestRemoveFromBucket: what no run refers to any more goes, and nothing else.
func TestRemoveFromBucket(t *testing.T) {
	b := openBucket(t)
	f, trees := threeRuns(t, b)
	put(t, b, "blobs/00/foreign", "x")
	put(t, b, "elsewhere", "x")
	foreign := []string{"OWNER", "WRITER", "blobs/00/foreign", "elsewhere"}
	for _, path := range []string{"runs/foreign", "runs/notes/README", "runs/notes/secrets/a/b"} {
		put(t, b, path, "x")
		foreign = append(foreign, path)
	}
	put(t, b, "runs/beginning/secrets/x.json.age", "x")
	all := paths(t, b)

	result, err := b.Remove(t.Context(), []string{"r1"})
	require.NoError(t, err)
	assert.Empty(t, result.Trees)
	assert.Positive(t, result.FreedBytes)
	isBeginning := func(p string) bool { return strings.HasPrefix(p, "runs/beginning/") }
	want := slices.DeleteFunc(slices.Clone(all), func(p string) bool { return strings.HasPrefix(p, "runs/r1/") || isBeginning(p) })
	assert.Equal(t, want, paths(t, b), "the tree has another run")

	result, err = b.Remove(t.Context(), []string{"r2"})
	require.NoError(t, err)
	assert.Equal(t, trees[:1], result.Trees)
	want = slices.DeleteFunc(want, func(p string) bool {
		return strings.HasPrefix(p, "runs/r2/") || strings.HasPrefix(p, "trees/"+trees[0]) || p == blobPath(digest([]byte("deny")))
	})
	assert.Equal(t, want, paths(t, b))
	report, err := b.VerifyRuns(t.Context(), VerifyRunsOptions{})
	require.NoError(t, err)
	require.NoError(t, report.Err())

	_, err = b.Remove(t.Context(), []string{"r2"})
	require.ErrorIs(t, err, ErrRunNotFound)
	_, err = b.Remove(t.Context(), []string{Latest})
	var usage *UsageError
	require.ErrorAs(t, err, &usage)

	_, err = b.Remove(t.Context(), []string{"r3"})
	require.NoError(t, err)
	assert.Equal(t, foreign, paths(t, b))
	copyRuns(t, b, f.volume, "r1", "r2", "r3")
	assert.Equal(t, slices.DeleteFunc(all, isBeginning), paths(t, b), "what was removed can be copied again")
}

// TestRemoveIsCareful: what may be of a run stays.
func TestRemoveIsCareful(t *testing.T) {
	cases := map[string]struct {
		reason  string
		do      func(t *testing.T, b *Bucket, trees []string)
		warning string
	}{
		"DamagedManifest": {"Nobody knows what it refers to", func(t *testing.T, b *Bucket, _ []string) {
			put(t, b, "runs/r3/manifest.json", "{")
		}, `no tree and no blob was removed, since the tree of run "r3" is not known`},
		"NewerManifest": {"A newer format may refer to more", func(t *testing.T, b *Bucket, _ []string) {
			put(t, b, "runs/r3/manifest.json", `{"formatVersion": 4}`)
		}, `no tree and no blob was removed, since the tree of run "r3" is not known`},
		"DamagedList": {"Nor what a list held", func(t *testing.T, b *Bucket, trees []string) {
			put(t, b, "trees/"+trees[2]+"/SHA256SUMS", "")
		}, "no blob was removed, since the list of tree "},
		"LostList": {"Or one that is gone", func(t *testing.T, b *Bucket, trees []string) {
			remove(t, b, "trees/"+trees[2]+"/SHA256SUMS")
		}, "no blob was removed, since the list of tree "},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := openBucket(t)
			_, trees := threeRuns(t, b)
			tc.do(t, b, trees)
			blobs := func() []string {
				return slices.DeleteFunc(paths(t, b), func(p string) bool { return !strings.HasPrefix(p, "blobs/") })
			}
			before := blobs()
			result, err := b.Remove(t.Context(), []string{"r1", "r2"})
			require.NoError(t, err)
			require.Len(t, result.Warnings, 1)
			assert.Contains(t, result.Warnings[0], tc.warning, tc.reason)
			assert.Equal(t, before, blobs(), tc.reason)
		})
	}
}

// TestRefusedDeletes: a bucket that does not let this user delete keeps its runs, whole.
func TestRefusedDeletes(t *testing.T) {
	faults := objectstore.NewFaults()
	b := openBucket(t, objectstore.Through(faults))
	threeRuns(t, b)
	before := paths(t, b)
	faults.Always(objectstore.Deletes, objectstore.RefuseDeletes)
	result, err := b.Remove(t.Context(), []string{"r1", "r2"})
	require.NoError(t, err)
	require.Len(t, result.Warnings, 1)
	assert.Contains(t, result.Warnings[0], "the object store did not delete 2 objects, such as ")
	assert.Zero(t, result.FreedBytes)
	assert.Equal(t, before, paths(t, b))
	report, err := b.VerifyRuns(t.Context(), VerifyRunsOptions{})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	faults.Clear()
	_, err = b.Remove(t.Context(), []string{"r1", "r2"})
	require.NoError(t, err)
}

// forgetful is a bucket whose lists lack what has a key.
type forgetful struct {
	objects
	recursive bool // it is those of all objects that do
	key       string
}

func (f *forgetful) List(ctx context.Context, prefix string, recursive bool) iter.Seq2[s3.Object, error] {
	return func(yield func(s3.Object, error) bool) {
		for o, err := range f.objects.List(ctx, prefix, recursive) {
			if recursive == f.recursive && strings.HasSuffix(o.Key, f.key) {
				continue
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// TestRemoveOfWhatIsNotListed: a list that lacks something does not make a run of the bucket lose what it refers to.
func TestRemoveOfWhatIsNotListed(t *testing.T) {
	for reason, f := range map[string]*forgetful{
		"a run whose objects are listed and whose manifest is not":  {recursive: true, key: "runs/r3/manifest.json"},
		"a run that is not read, so that its tree counts as unused": {recursive: false, key: "runs/r3/"},
	} {
		t.Run(reason, func(t *testing.T) {
			b := openBucket(t)
			threeRuns(t, b)
			put(t, b, "runs/r0/SHA256SUMS", "")
			want := slices.DeleteFunc(paths(t, b), func(p string) bool { return strings.HasPrefix(p, "runs/r1/") })
			f.objects = b.objects
			result, err := (&Bucket{objects: f, name: b.name, prefix: b.prefix}).Remove(t.Context(), []string{"r1"})
			require.NoError(t, err)
			require.Len(t, result.Warnings, 1)
			assert.Contains(t, result.Warnings[0], "nothing more was removed, since the object store lists the manifests of ")
			assert.Contains(t, result.Warnings[0], ": r3")
			assert.Equal(t, want, paths(t, b))
		})
	}
}
