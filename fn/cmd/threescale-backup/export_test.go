package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/sops"
	"threescale.dev/backup/test/dataset"
	"threescale.dev/backup/test/decrypt"
)

// export is the command line of an export.
func (i *installed) export(directory string, more ...string) []string {
	return append([]string{"export", directory, "--volume", i.volume, "-n", "3scale-dr", "--name", "dr"}, more...)
}

// TestExport writes a tree that kustomize builds, with what was asked for in it and nothing in plain text.
func TestExport(t *testing.T) {
	cases := map[string]struct {
		reason    string
		encrypted bool
		rules     bool // in the directory; else a recipient is given, and there is no directory
	}{
		"Recipient": {"a directory is made", false, false},
		"Rules":     {"a clone of somebody", false, true},
		"Encrypted": {"nothing readable is on the volume", true, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			i := newInstalled(t, tc.encrypted)
			dir := filepath.Join(t.TempDir(), "new", "tree")
			args := i.export(dir, "--identities", i.keys, "--wildcard-domain", otherDomain)
			if tc.rules {
				put(t, dir, ".sops.yaml", i.rules())
			} else {
				args = append(args, "--recipient", i.recipient)
			}
			answer := executeJSON[exported](t, args...)
			assert.Empty(t, answer.Removed)
			assert.True(t, slices.IsSorted(answer.Files), "the same answer each time")
			assert.Equal(t, []string{i.recipient}, answer.Recipients)
			assert.Len(t, answer.Rewritten, 3)
			assert.Equal(t, []string{"databases", "capability resources", "changes to Routes", "file storage"}, answer.NotIncluded)
			var files []overlay.File
			for _, name := range answer.Files {
				data, err := os.ReadFile(filepath.Join(dir, name))
				require.NoError(t, err)
				for _, form := range dataset.MarkerForms() {
					assert.NotContains(t, string(data), form, name)
				}
				secret := strings.HasPrefix(filepath.Base(name), "secret-") || filepath.Base(name) == "configmap-system.yaml"
				assert.Equal(t, secret, sops.Encrypted(data), name)
				if secret {
					_, err := decrypt.Document(data, i.identity)
					require.NoError(t, err, name)
				}
				files = append(files, overlay.File{Path: name, Data: data})
			}
			built, err := overlay.BuildFiles(files, "overlays/dr")
			require.NoError(t, err)
			assert.ElementsMatch(t, answer.Objects, texts(slices.Collect(maps.Keys(built))))
		})
	}
}

// TestExportAgain: of an earlier export go the files that are gone, and nothing else.
func TestExportAgain(t *testing.T) {
	i := newInstalled(t, false)
	dir := t.TempDir()
	put(t, dir, ".sops.yaml", i.rules())
	put(t, dir, "base/dr/theirs.yaml", "theirs\n")
	put(t, dir, "base/other/secret-system-redis.yaml", "theirs\n")
	first := executeJSON[exported](t, i.export(dir)...)
	second := executeJSON[exported](t, i.export(dir, "--omit-database-secrets")...)
	assert.Equal(t, []string{"base/dr/secret-backend-redis.yaml", "base/dr/secret-system-database.yaml", "base/dr/secret-system-redis.yaml", "base/dr/secret-zync.yaml"}, second.Removed)
	assert.Len(t, second.Files, len(first.Files)-4)
	for _, name := range second.Removed {
		assert.NoFileExists(t, filepath.Join(dir, name))
	}
	assert.FileExists(t, filepath.Join(dir, "base/dr/theirs.yaml"))
	assert.FileExists(t, filepath.Join(dir, "base/other/secret-system-redis.yaml"))
}

// TestExportToAnotherStorageClass: no cluster is looked at, so that the PVC is
// always one that is made anew.
func TestExportToAnotherStorageClass(t *testing.T) {
	i := newInstalled(t, false)
	for _, tc := range []struct {
		reason string
		args   []string
		want   string
	}{
		{"it is what was asked for", []string{"--storage-class", "fast"}, "fast"},
		{"the one of the backup", nil, "files"},
	} {
		dir := t.TempDir()
		executeJSON[exported](t, i.export(dir, append(tc.args, "--recipient", i.recipient)...)...)
		data, err := os.ReadFile(filepath.Join(dir, "overlays/dr/persistentvolumeclaim.yaml"))
		require.NoError(t, err)
		assert.Contains(t, string(data), "storageClassName: "+tc.want+"\n", tc.reason)
	}
}

// TestExportRefuses: of what cannot be exported nothing is written.
func TestExportRefuses(t *testing.T) {
	plain, encrypted := newInstalled(t, false), newInstalled(t, true)
	cases := map[string]struct {
		reason string
		from   *installed
		args   []string
		make   func(t *testing.T, dir string) // nil: there is no directory
		code   int
		says   string
	}{
		"NoRules":    {"nobody could decrypt", plain, nil, nil, job.ExitUsage, "there is no .sops.yaml beside or above it"},
		"KeyService": {"it could not be tested", plain, nil, func(t *testing.T, dir string) { t.Helper(); put(t, dir, ".sops.yaml", "creation_rules:\n- pgp: ABC\n") }, job.ExitUsage, "only age is supported"},
		"NoIdentity": {"the run is encrypted", encrypted, []string{"--recipient", plain.recipient}, nil, job.ExitNoPermission, "give the identity of a recipient"},
		"NoName":     {"a name becomes that of a folder", plain, []string{"--name", "A_B", "--recipient", plain.recipient}, nil, job.ExitUsage, "must be a DNS label"},
		"UnknownRun": {"there is none", plain, []string{"--run", "20200101t000000z-00000000"}, nil, job.ExitUsage, "no such run"},
		"LinkedFolder": {"somebody else's files are behind it", plain, []string{"--recipient", plain.recipient}, func(t *testing.T, dir string) {
			t.Helper()
			put(t, dir, "theirs/dr/README", "theirs\n")
			require.NoError(t, os.Symlink("theirs", filepath.Join(dir, "base")))
		}, job.ExitUsage, `"base" is a symlink or a special file`},
		"LinkedFile": {"somebody else's file is behind it", plain, []string{"--recipient", plain.recipient}, func(t *testing.T, dir string) {
			t.Helper()
			put(t, dir, "theirs.yaml", "theirs\n")
			put(t, dir, "base/dr/README", "")
			require.NoError(t, os.Symlink("../../theirs.yaml", filepath.Join(dir, "base/dr/secret-zync.yaml")))
		}, job.ExitUsage, `"base/dr/secret-zync.yaml" is a symlink or a special file`},
		"Taken": {"a user keeps the folder", plain, []string{"--recipient", plain.recipient}, func(t *testing.T, dir string) {
			t.Helper()
			put(t, dir, "base/dr/kustomization.yaml", "resources: []\n")
		}, job.ExitUsage, "was not written by a restore"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "tree")
			if tc.make != nil {
				tc.make(t, dir)
			}
			before := entries(t, dir)
			done := execute(t, tc.from.export(dir, tc.args...)...)
			assert.Equal(t, tc.code, done.code, "%s: %s", tc.reason, done.stderr)
			assert.Contains(t, done.stderr, tc.says, tc.reason)
			assert.Empty(t, done.stdout)
			assert.Equal(t, before, entries(t, dir), tc.reason)
		})
	}
	t.Run("EmptyDirectory", func(t *testing.T) {
		done := execute(t, plain.export("", "--recipient", plain.recipient)...)
		assert.Equal(t, job.ExitUsage, done.code, "an unset variable is not the working directory")
		assert.NoDirExists(t, "base")
	})
}
