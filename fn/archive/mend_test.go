package archive

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mendable holds r1 and r2, whose trees differ and share all files but one, and
// what r3 proved before it linked to it.
func mendable(t *testing.T, damage func(f *fixture, r *Result)) (f *fixture, third *Result) {
	t.Helper()
	f = newFixture(t)
	f.addSome()
	f.write("r1")
	f.add("of-r2", "x")
	second := f.write("r2")
	damage(f, second)
	f.opts.ProveLinks = true
	return f, f.write("r3")
}

func (f *fixture) mend(run string) *MendResult {
	f.t.Helper()
	result, err := f.volume.Mend(f.t.Context(), run, "test")
	require.NoError(f.t, err)
	return result
}

func (f *fixture) damagedRuns() (ids []string) {
	f.t.Helper()
	for _, run := range []string{"r1", "r2", "r3"} {
		if f.report(run).Err() != nil {
			ids = append(ids, run)
		}
	}
	return ids
}

func TestMend(t *testing.T) {
	cases := map[string]struct {
		reason string
		damage func(t *testing.T, f *fixture, r *Result)
		before []string // runs that are damaged once r3 is written
		files  int64
		after  []string
	}{
		"Nothing": {"An intact volume is read and left alone", func(*testing.T, *fixture, *Result) {}, nil, 0, nil},
		"SharedFile": {"Each run that links to the damaged file gets the good one", func(t *testing.T, f *fixture, r *Result) {
			flip(t, f.stored(r, aFile))
		}, []string{"r1"}, 1, nil},
		"Changed": {"What has changed since is nowhere to be had", func(t *testing.T, f *fixture, r *Result) {
			flip(t, f.stored(r, aFile))
			f.add(aFile, "another content")
		}, []string{"r1", "r2"}, 0, []string{"r1", "r2"}},
		"OtherMode": {"A file of another mode is not that file", func(t *testing.T, f *fixture, r *Result) {
			flip(t, f.stored(r, aFile))
			require.NoError(t, os.Chmod(f.files+"/"+aFile, 0o600))
		}, []string{"r1", "r2"}, 0, []string{"r1", "r2"}},
		"Missing": {"A file that is gone comes back", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Remove(f.storedIn("r1", aFile)))
		}, []string{"r1"}, 1, nil},
		"MissingDirectory": {"A directory that is gone is told", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.RemoveAll(f.storedIn("r1", "tenant-002")))
		}, []string{"r1"}, 0, []string{"r1"}},
		"Lists": {"A tree whose lists nobody can believe is not touched", func(t *testing.T, f *fixture, r *Result) {
			flip(t, f.storedIn("r1", aFile))
			flip(t, f.storedIn("r1", "../SHA256SUMS"))
		}, []string{"r1"}, 0, []string{"r1"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f, third := mendable(t, func(f *fixture, r *Result) { tc.damage(t, f, r) })
			require.Equal(t, tc.before, f.damagedRuns(), tc.reason)
			result := f.mend("r3")
			assert.Equal(t, tc.files, result.Files, tc.reason)
			assert.Equal(t, tc.after, f.damagedRuns(), tc.reason)
			if tc.files > 0 {
				assert.Equal(t, inode(t, f.stored(third, aFile)), inode(t, f.storedIn("r1", aFile)), "nothing is stored twice")
			}
			assert.Equal(t, tc.files == 0 && tc.after != nil && (name == "Lists" || name == "MissingDirectory"), len(result.Warnings) > 0, result.Warnings)
			assert.Zero(t, f.mend("r3").Files, "it is done")
			assert.Equal(t, []string{"r1", "r2", "r3"}, ls(t, f.path("runs")))
		})
	}
}

// storedIn is the path of a stored file of a run.
func (f *fixture) storedIn(run, path string) string {
	f.t.Helper()
	info, err := f.volume.find(f.t.Context(), run)
	require.NoError(f.t, err)
	return f.path("trees", info.Manifest.Tree, "files", path)
}

// TestMendFromDamage: what is damaged itself mends nothing.
func TestMendFromDamage(t *testing.T) {
	f, third := mendable(t, func(f *fixture, r *Result) { flip(t, f.stored(r, aFile)) })
	flip(t, f.stored(third, aFile))
	result := f.mend("r3")
	assert.Zero(t, result.Files)
	require.Len(t, result.Warnings, 1)
	assert.Contains(t, result.Warnings[0], aFile+` is damaged in run "r3" too`)
	assert.Equal(t, []string{"r1", "r2", "r3"}, f.damagedRuns())
}

// TestMendKilled: a link that a crash left is the next writer's to remove, and
// harms nobody before.
func TestMendKilled(t *testing.T) {
	f, third := mendable(t, func(f *fixture, r *Result) { flip(t, f.stored(r, aFile)) })
	require.NoError(t, os.Link(f.stored(third, aFile), f.path("trees", ".partial-r3-mended")))
	assert.Equal(t, int64(1), f.mend("r3").Files)
	f.write("r4")
	for _, name := range ls(t, f.path("trees")) {
		assert.NotContains(t, name, "partial")
	}
	assert.Empty(t, f.damagedRuns())
}

func TestMendRefuses(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	_, err := f.volume.Mend(t.Context(), "r2", "")
	require.ErrorIs(t, err, ErrRunNotFound)
	var usage *UsageError
	_, err = f.volume.Mend(t.Context(), "../r1", "")
	require.ErrorAs(t, err, &usage)
}
