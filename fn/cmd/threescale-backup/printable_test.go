package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestHostileNamesArePrintable: whoever can write to a volume, to a repository or to manifests chooses names, and whoever
// looks at them has a terminal.
func TestHostileNamesArePrintable(t *testing.T) {
	hostile := "x\x1b[2J\x1b]0;owned\x07\u009b31m\u202egpj\n20261122t020000z-00000000   Complete\rok\xff\tz"
	i := newInstalled(t, false)
	require.NoError(t, os.MkdirAll(filepath.Join(i.volume, "runs", hostile), 0o755))
	put(t, i.volume, filepath.Join("runs", hostile, "manifest.json"), `{"formatVersion":1,"run":"`+"\u009b"+`\u001b[2J"}`)
	put(t, i.volume, "runs/forged/manifest.json", `{"formatVersion":1,"run":"forged","source":{"namespace":"\u001b[2J\u202e","apiManager":"\u009b"}}`)
	damaged, err := filepath.Glob(filepath.Join(i.volume, "trees/*/files"))
	require.NoError(t, err)
	put(t, damaged[0], hostile, "an entry that is not listed")
	s := newSite(t, i.rules())
	gitIn(t, s.repository, "checkout", "-q", "-b", "x\u202egpj")
	gitIn(t, s.repository, "checkout", "-q", "main")
	objects := filepath.Join(i.dir, "hostile")
	put(t, objects, "a\x1b[2J.yaml", "kind: \"\\e[2J\"\napiVersion: v1\nmetadata: {name: \"\\e[2J\"}\n---\n{kind: Secret, apiVersion: v1, metadata: {name: a}, \"\\e[2J\": x}\n")

	commands := map[string][]string{
		"List":           {"list", "--volume", i.volume},
		"ListJSON":       {"list", "--volume", i.volume, "-o", "json"},
		"Retention":      {"list", "--volume", i.volume, "--retention", "keepLast=1"},
		"RetentionJSON":  {"list", "--volume", i.volume, "--retention", "keepLast=1", "-o", "json"},
		"Verify":         {"verify", "--volume", i.volume},
		"VerifyJSON":     {"verify", "--volume", i.volume, "-o", "json"},
		"VerifyAll":      {"verify", "--all", "--volume", i.volume},
		"VerifyAllJSON":  {"verify", "--all", "--volume", i.volume, "-o", "json"},
		"VerifyHostile":  {"verify", hostile, "--volume", i.volume},
		"VerifyForged":   {"verify", "forged", "--volume", i.volume},
		"Restore":        s.restore(i),
		"RestoreHostile": s.restore(i, "--run", hostile),
		"Branch":         s.restore(i, "--branch", "x\u202egpj"),
		"NoVolume":       {"list", "--volume", hostile},
		"NoCommand":      {hostile},
		"NoFlag":         {"list", "--" + hostile},
		"Backup":         {"backup", "--volume", filepath.Join(i.dir, "new"), "--objects", objects, "--skip-file-storage"},
		"BackupInto":     {"backup", "--volume", i.volume, "--objects", filepath.Join(i.dir, "objects"), "--file-storage", damaged[0]},
	}
	for name, args := range commands {
		t.Run(name, func(t *testing.T) {
			done := execute(t, args...)
			for _, text := range []string{done.stdout, done.stderr} {
				assert.True(t, utf8.ValidString(text), "%q", text)
				at := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) })
				assert.Equal(t, -1, at, "%q", text)
				for line := range strings.Lines(text) {
					assert.False(t, strings.HasPrefix(line, "20261122t020000z-00000000"), "a line that is not ours: %q", line)
				}
			}
			assert.NotEmpty(t, done.stdout+done.stderr)
		})
	}
	assert.Contains(t, execute(t, "list", "--volume", i.volume).stdout, `x\x1b[2J`, "it is told nevertheless")
}
