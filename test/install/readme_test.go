//go:build e2e

package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/docs"
)

// A reader has a clone of the repository, a shell, and a page of the documents
// before him.
type reader struct {
	t *testing.T
	// clone is his working folder.
	clone string
	// env are the variables that his shell has, and script what it does before
	// each block: it goes on where the last block ended.
	env   []string
	state string
}

// newReader gives him a clone of what is checked out here, with what is not
// committed yet.
func newReader(t *testing.T, env ...string) *reader {
	t.Helper()
	r := &reader{t: t, clone: filepath.Join(t.TempDir(), "threescale-backup"), env: env}
	r.state = filepath.Join(t.TempDir(), "state")
	require.NoError(t, os.MkdirAll(r.clone, 0o755))
	require.NoError(t, os.WriteFile(r.state, []byte("cd "+r.clone+"\n"), 0o600))
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	r.shell("(cd " + root + " && git ls-files -z --cached --others --exclude-standard | xargs -0 tar -c --ignore-failed-read) | tar -x\n" +
		"git init --quiet --initial-branch=main && git add --all && git commit --quiet --message='As it is checked out'")
	return r
}

// shell runs a script where the last one ended: in its folder, with its variables.
func (r *reader) shell(script string) string {
	r.t.Helper()
	start := time.Now()
	out, err := r.run(script)
	r.t.Logf("after %s:\n%s\n%s", time.Since(start).Round(100*time.Millisecond), indent(script), out)
	require.NoError(r.t, err, "%s\n%s", script, out)
	return out
}

// know gives his shell a variable that no log shows.
func (r *reader) know(name, value string) {
	r.t.Helper()
	_, err := r.run("export " + name + "=" + value)
	require.NoError(r.t, err)
}

func (r *reader) run(script string) (string, error) {
	cmd := exec.CommandContext(r.t.Context(), "bash", "-c", "set -aeuo pipefail\n. "+r.state+"\n"+script+"\n{ export -p; printf 'cd %q\\n' \"$PWD\"; } > "+r.state)
	cmd.Env = append(os.Environ(), r.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func indent(text string) string {
	return "$ " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n> ")
}

// follow runs all shell blocks of a section of a page, without those of its
// subsections, and returns what the last one printed. What is for the reader to
// choose is replaced by what he chooses.
func (r *reader) follow(page, section string, choices ...string) string {
	r.t.Helper()
	read, err := docs.Read(r.clone, page)
	require.NoError(r.t, err)
	blocks := read.Commands(section)
	require.NotEmpty(r.t, blocks, "commands of section %q of %s", section, page)
	var out string
	for _, block := range blocks {
		out = r.shell(strings.NewReplacer(choices...).Replace(block))
	}
	return out
}
