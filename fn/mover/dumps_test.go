package mover_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/fn/recorded"
)

// dumped returns the options of a run that two databases were dumped for, and the dumps in their order.
func dumped(t *testing.T) (job.Options, []recorded.Dump) {
	t.Helper()
	o := options(t)
	o.Databases = filepath.Join(o.Volume, job.RunScratch(o.Run))
	dumps := []recorded.Dump{
		{Name: "backend-redis", Kind: recorded.Redis, ServerVersion: "7.0.15", StartTime: noon, CompletionTime: noon, Bytes: 4, Keys: 1},
		{Name: "system-database", Kind: recorded.PostgreSQL, ServerVersion: "15.18", Tool: "pg_dump 15.18", StartTime: noon, CompletionTime: noon, Bytes: 7},
	}
	for _, d := range dumps {
		text, err := json.Marshal(d)
		require.NoError(t, err)
		write(t, o.Databases, d.Name+"/"+d.Name+".json", string(text))
	}
	write(t, o.Databases, "backend-redis/backend-redis/keys.resp", "keys")
	write(t, o.Databases, "system-database/system-database/toc.dat", "toc")
	write(t, o.Databases, "system-database/system-database/3456.dat", "rows")
	require.NoError(t, os.MkdirAll(filepath.Join(o.Databases, job.FailuresFolder), 0o755))
	return o, dumps
}

// TestBackupStoresDumps: they are files of the run like all others, and nothing of them stays where they were made.
func TestBackupStoresDumps(t *testing.T) {
	o, dumps := dumped(t)
	result, err := mover.Backup(t.Context(), o, mover.Env{Now: now})
	require.NoError(t, err)
	assert.Equal(t, dumps, result.Databases)
	assert.EqualValues(t, 4+1+3, result.Files, "objects, the file storage, and the files of dumps")
	assert.Zero(t, result.LinkedFiles)
	assert.NoDirExists(t, o.Databases)
	first := result

	volume, err := archive.OpenVolume(o.Volume)
	require.NoError(t, err)
	defer volume.Close()
	run, err := volume.OpenRun(t.Context(), o.Run)
	require.NoError(t, err)
	defer run.Close()
	assert.Equal(t, dumps, run.Dumps())
	extracted := t.TempDir()
	require.NoError(t, run.ExtractDatabases(t.Context(), extracted, archive.ExtractOptions{}))
	for name, want := range map[string]string{"backend-redis/keys.resp": "keys", "system-database/toc.dat": "toc", "system-database/3456.dat": "rows"} {
		got, err := os.ReadFile(filepath.Join(extracted, name))
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}

	next, _ := dumped(t)
	next.Run, next.Volume = "20261122t130000z-1a2b3c4d", o.Volume
	write(t, next.Databases, "backend-redis/backend-redis/keys.resp", "more")
	result, err = mover.Backup(t.Context(), next, mover.Env{Now: now})
	require.NoError(t, err)
	assert.EqualValues(t, 2, result.LinkedFiles, "of PostgreSQL, what has not changed; the file storage is another one")
	assert.Equal(t, first.StoredBytes-7, result.StoredBytes)
}

// TestBackupOfDumpsThatAreNotWhole: a run either holds what was dumped, or there is none, and the next try dumps again.
func TestBackupOfDumpsThatAreNotWhole(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(t *testing.T, dir string)
		says   string
	}{
		"NotDescribed": {
			"whoever dumped was killed",
			func(t *testing.T, dir string) { remove(t, dir, "system-database/system-database.json") }, `"system-database": it is not whole`,
		},
		"Gone": {
			"somebody tidied the volume up",
			func(t *testing.T, dir string) { remove(t, dir, "backend-redis/backend-redis") }, `"backend-redis": its files are gone`,
		},
		"AllGone": {
			"likewise",
			func(t *testing.T, dir string) { remove(t, dir, "."); require.NoError(t, os.MkdirAll(dir, 0o755)) }, "there are none",
		},
		"FileGone": {
			"likewise",
			func(t *testing.T, dir string) { remove(t, dir, "system-database/system-database/3456.dat") }, "its files are 3 bytes and not 7",
		},
		"FileMore": {
			"a client that was given up goes on writing",
			func(t *testing.T, dir string) {
				write(t, dir, "backend-redis/backend-redis/keys.resp", "keys and more")
			}, "its files are 13 bytes and not 4",
		},
		"HalfDescribed": {
			"the volume was full",
			func(t *testing.T, dir string) {
				write(t, dir, "backend-redis/backend-redis.json", `{"name":"backend-re`)
			}, "what describes it cannot be read",
		},
		"DescribedByALink": {
			"an image that dumps would have the mover read what only the mover may",
			func(t *testing.T, dir string) {
				secret := filepath.Join(t.TempDir(), "secret")
				require.NoError(t, os.Rename(filepath.Join(dir, "backend-redis/backend-redis.json"), secret))
				require.NoError(t, os.Symlink(secret, filepath.Join(dir, "backend-redis/backend-redis.json")))
			}, "what describes it cannot be read: it is no file",
		},
		"DescribedByAPipe": {
			"likewise; to read it would never end",
			func(t *testing.T, dir string) {
				remove(t, dir, "backend-redis/backend-redis.json")
				require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "backend-redis/backend-redis.json"), 0o644))
			}, "what describes it cannot be read: it is no file",
		},
		"DescribedAtLength": {
			"likewise; it would fill the memory",
			func(t *testing.T, dir string) {
				write(t, dir, "backend-redis/backend-redis.json", `{"name":"backend-redis","kind":"Redis","bytes":4,"tool":"`+strings.Repeat("x", 1<<20)+`"}`)
			}, "what describes it cannot be read",
		},
		"AnotherDescribed": {
			"a dump is not stored as that of another database",
			func(t *testing.T, dir string) {
				write(t, dir, "backend-redis/backend-redis.json", `{"name":"system-redis","kind":"Redis","bytes":4}`)
			}, `of database "system-redis"`,
		},
		"SomethingElse": {
			"what nobody knows of is not stored",
			func(t *testing.T, dir string) { write(t, dir, "notes.txt", "") }, `"notes.txt"`,
		},
		"SomethingBeside": {
			"likewise, of an image that dumps",
			func(t *testing.T, dir string) { write(t, dir, "backend-redis/notes.txt", "") }, `"notes.txt"`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o, _ := dumped(t)
			tc.change(t, o.Databases)
			result, err := mover.Backup(t.Context(), o, mover.Env{Now: now})
			require.ErrorContains(t, err, tc.says, tc.reason)
			assert.Equal(t, v1alpha1.ReasonIO, result.Reason)
			assert.Equal(t, job.ExitIO, mover.ExitCode(err), "the next pod dumps again")
			assert.NoDirExists(t, o.Databases, "what is there is not encrypted")
			volume, err := archive.OpenVolume(o.Volume)
			require.NoError(t, err)
			defer volume.Close()
			runs, err := volume.Runs(t.Context())
			require.NoError(t, err)
			assert.Empty(t, runs)
		})
	}
}

// TestBackupCannotRemoveDumps: they are readable, so whoever reads the result learns of them, however the run went.
func TestBackupCannotRemoveDumps(t *testing.T) {
	const says = "stay in the scratch directory"
	o, _ := dumped(t)
	o.Databases += "/." // which os.RemoveAll refuses, also for root
	result, err := mover.Backup(t.Context(), o, mover.Env{Now: now})
	require.NoError(t, err, "the run is stored")
	require.NotEmpty(t, result.Warnings)
	assert.Contains(t, result.Warnings[0], says)

	o, _ = dumped(t)
	o.Databases += "/."
	remove(t, o.Databases, "system-database/system-database.json")
	result, err = mover.Backup(t.Context(), o, mover.Env{Now: now})
	require.ErrorContains(t, err, says)
	assert.Contains(t, result.Message, `"system-database": it is not whole`)
	assert.Contains(t, result.Message, says)
	assert.Equal(t, v1alpha1.ReasonIO, result.Reason)
}

func remove(t *testing.T, dir, path string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(filepath.Join(dir, path)))
}

// TestDumpsOfAStoredRun: a pod stored the run and was killed before it could say so. The next one needs no database,
// which may be down by now; but it stores no run without databases either.
func TestDumpsOfAStoredRun(t *testing.T) {
	cases := map[string]struct {
		reason         string
		change         func(t *testing.T, o job.Options, reporter *reportMap)
		gone           bool // between Prepare and Backup
		undumped, want string
	}{
		"Stored": {reason: "it is verified and reported again"},
		"Damaged": {
			reason: "no dump mends a run; what is damaged is told",
			change: func(t *testing.T, o job.Options, _ *reportMap) {
				write(t, o.Volume, "runs/"+o.Run+"/manifest.json", "{")
			},
			want: v1alpha1.ReasonIntegrity,
		},
		"Planted": {
			reason:   "no pod of this Job has begun: it is somebody else's, and Backup sets it aside",
			change:   func(_ *testing.T, _ job.Options, reporter *reportMap) { reporter.data = nil },
			undumped: v1alpha1.ReasonDatabaseUnreachable,
		},
		"Unfinished": {
			reason: "a pod that was killed before left a part",
			change: func(t *testing.T, o job.Options, _ *reportMap) {
				runs := filepath.Join(o.Volume, "runs")
				require.NoError(t, os.Rename(filepath.Join(runs, o.Run), filepath.Join(runs, ".partial-"+o.Run)))
			},
			undumped: v1alpha1.ReasonDatabaseUnreachable,
		},
		"Gone": {
			reason: "the volume was emptied meanwhile: the next pod dumps",
			gone:   true, want: v1alpha1.ReasonIO,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o, dumps := dumped(t)
			reporter := &reportMap{}
			env := mover.Env{Reporter: reporter, Now: now}
			stored, err := mover.Backup(t.Context(), o, env)
			require.NoError(t, err)
			if tc.change != nil {
				tc.change(t, o, reporter)
			}
			_, err = mover.Prepare(t.Context(), job.PrepareOptions{Run: o.Run, Database: []string{"backend-redis", "system-database"}, Volume: o.Volume}, env)
			require.NoError(t, err)
			dump := dumpOptions(t, "redis://127.0.0.1:1/0")
			dump.Scratch = filepath.Join(o.Databases, dump.Database)
			made, err := mover.Dump(t.Context(), dump, env)
			if tc.undumped != "" {
				require.Error(t, err, tc.reason)
				assert.Equal(t, tc.undumped, mover.Reason(err), tc.reason)
				return
			}
			require.NoError(t, err, tc.reason)
			assert.Nil(t, made.Dump)
			if tc.gone {
				remove(t, o.Volume, "runs")
			}
			result, err := mover.Backup(t.Context(), o, env)
			assert.NoDirExists(t, o.Databases)
			if tc.want == "" {
				require.NoError(t, err, tc.reason)
				assert.Equal(t, stored.ManifestSHA256, result.ManifestSHA256)
				assert.Equal(t, dumps, result.Databases)
				return
			}
			require.Error(t, err, tc.reason)
			assert.Equal(t, tc.want, result.Reason, "%s: %v", tc.reason, err)
			if tc.gone {
				assert.NoDirExists(t, filepath.Join(o.Volume, "runs", o.Run), "no run without databases")
			}
		})
	}
}
