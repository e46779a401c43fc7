package gitserver

import (
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBomb: it is a Git repository, by git's own word.
func TestBomb(t *testing.T) {
	const size = 5 << 20
	handler, err := Bomb("main", "large", size)
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	defer server.Close()
	folder := filepath.Join(t.TempDir(), "clone")
	out, err := exec.CommandContext(t.Context(), "git", "clone", "--quiet", server.URL+"/bomb.git", folder).CombinedOutput()
	require.NoError(t, err, "%s", out)
	out, err = exec.CommandContext(t.Context(), "git", "-C", folder, "cat-file", "-s", "origin/main:large").CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, "5242880\n", string(out))
	out, err = exec.CommandContext(t.Context(), "git", "-C", folder, "fsck", "--strict").CombinedOutput()
	require.NoError(t, err, "%s", out)
	pack, _, err := bomb("large", size)
	require.NoError(t, err)
	assert.Less(t, len(pack), size/500)
}
