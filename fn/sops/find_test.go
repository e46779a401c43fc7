package sops_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/sops"
)

func rulesFor(p party) string {
	return "creation_rules: [{age: " + p.recipient + ", " + scopeLine + "}]\n"
}

func TestFindsNearestRules(t *testing.T) {
	alice, bob := newParty(t), newParty(t)
	byBase := "creation_rules:\n- {path_regex: ^apps/, age: " + bob.recipient + ", " + scopeLine + "}\n- {path_regex: ^base/dr/, age: " + alice.recipient + ", " + scopeLine + "}\n"
	cases := map[string]struct {
		reason string
		files  map[string]string
		want   party
	}{
		"root":             {"the usual place", map[string]string{".sops.yaml": rulesFor(alice)}, alice},
		"own folder":       {"the nearest one counts", map[string]string{".sops.yaml": rulesFor(bob), "apps/3scale/base/dr/.sops.yaml": rulesFor(alice)}, alice},
		"between":          {"the nearest one counts", map[string]string{".sops.yaml": rulesFor(bob), "apps/.sops.yaml": rulesFor(alice)}, alice},
		"another folder":   {"that is not above", map[string]string{".sops.yaml": rulesFor(alice), "apps/3scale/base/other/.sops.yaml": rulesFor(bob), "infra/.sops.yaml": rulesFor(bob)}, alice},
		"other ending":     {"SOPS passes over .sops.yml", map[string]string{".sops.yaml": rulesFor(alice), "apps/.sops.yml": rulesFor(bob)}, alice},
		"relative to file": {"path_regex starts at the folder of .sops.yaml", map[string]string{"apps/3scale/.sops.yaml": byBase}, alice},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := sops.ForRepository(repository(c.files)).Recipients(secretPath)
			require.NoError(t, err, c.reason)
			assert.Equal(t, []string{c.want.recipient}, got)
		})
	}
}

func TestFindsNoRules(t *testing.T) {
	alice := newParty(t)
	for name, files := range map[string]map[string]string{"none": nil, "other ending": {".sops.yml": rulesFor(alice)}, "another folder": {"infra/.sops.yaml": rulesFor(alice)}} {
		e := sops.ForRepository(repository(files))
		_, err := e.Recipients(secretPath)
		require.ErrorIs(t, err, sops.ErrNoRules, name)
		_, err = e.Encrypt(secretPath, []byte(secret))
		require.ErrorIs(t, err, sops.ErrNoRules, name)
		assert.NotContains(t, err.Error(), canary)
	}
}

func TestFindRefuses(t *testing.T) {
	alice := newParty(t)
	cases := map[string]struct {
		reason  string
		prepare func(outside, root string) error
		message string
	}{
		"symlink to rules": {"who follows it encrypts for others", func(outside, root string) error {
			return os.Symlink("rules.yaml", filepath.Join(root, "apps", ".sops.yaml"))
		}, "is a symlink"},
		"symlink out": {"it may be anything", func(outside, root string) error {
			return os.Symlink(filepath.Join(outside, ".sops.yaml"), filepath.Join(root, "apps", ".sops.yaml"))
		}, "is a symlink"},
		"dangling symlink": {"it may be something for others", func(outside, root string) error {
			return os.Symlink("nowhere", filepath.Join(root, "apps", ".sops.yaml"))
		}, "is a symlink"},
		"folder is a symlink": {"the file would be somewhere else", func(outside, root string) error { return os.Symlink("../infra", filepath.Join(root, "apps", "3scale")) }, `"apps/3scale" is a symlink`},
		"folder is outside":   {"the file would be somewhere else", func(outside, root string) error { return os.Symlink(outside, filepath.Join(root, "apps", "3scale")) }, `"apps/3scale" is a symlink`},
		"folder is a file": {"nothing can be written below it", func(outside, root string) error {
			return os.WriteFile(filepath.Join(root, "apps", "3scale"), nil, 0o600)
		}, `"apps/3scale" is not a directory`},
		"rules are a directory": {"SOPS fails there", func(outside, root string) error { return os.Mkdir(filepath.Join(root, "apps", ".sops.yaml"), 0o700) }, "not a regular file"},
		"rules are a named pipe": {"reading would wait for ever", func(outside, root string) error {
			return syscall.Mkfifo(filepath.Join(root, "apps", ".sops.yaml"), 0o600)
		}, "not a regular file"},
		"too large": {"memory is bounded", func(outside, root string) error {
			return os.WriteFile(filepath.Join(root, "apps", ".sops.yaml"), []byte(rulesFor(alice)+strings.Repeat("#\n", 200<<10)), 0o600)
		}, "larger than"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			outside, dir := t.TempDir(), t.TempDir()
			require.NoError(t, os.Mkdir(filepath.Join(dir, "apps"), 0o700))
			require.NoError(t, os.Mkdir(filepath.Join(dir, "infra"), 0o700))
			for _, file := range []string{filepath.Join(outside, ".sops.yaml"), filepath.Join(dir, ".sops.yaml"), filepath.Join(dir, "apps", "rules.yaml")} {
				require.NoError(t, os.WriteFile(file, []byte(rulesFor(alice)), 0o600))
			}
			root, err := os.OpenRoot(dir)
			require.NoError(t, err)
			defer root.Close()
			e := sops.ForRepository(root.FS())
			_, err = e.Recipients(secretPath)
			require.NoError(t, err, "before")

			require.NoError(t, c.prepare(outside, dir))
			_, err = e.Encrypt(secretPath, []byte(secret))
			require.ErrorContains(t, err, c.message, c.reason)
			assert.NotContains(t, err.Error(), dir)
			assert.NotContains(t, err.Error(), canary)
		})
	}
}

// A .sops.yaml above the repository's root is another's, where the sops command would take it.
func TestNeverLeavesTheRoot(t *testing.T) {
	alice := newParty(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".sops.yaml"), []byte(rulesFor(alice)), 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "clone", "apps"), 0o700))
	t.Chdir(dir)
	_, err := sops.ForRepository(os.DirFS(filepath.Join(dir, "clone"))).Recipients(secretPath)
	require.ErrorIs(t, err, sops.ErrNoRules)
}

// brokenFS fails to read what exists, as a disk does.
type brokenFS struct{ fs.FS }

var errBroken = errors.New("input/output error")

func (brokenFS) Open(string) (fs.File, error) { return nil, errBroken }

func TestUnreadableRulesAreNotPassedOver(t *testing.T) {
	_, err := sops.ForRepository(brokenFS{}).Recipients(secretPath)
	require.ErrorIs(t, err, errBroken)
}
