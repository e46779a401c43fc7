package remote

import (
	"io"
	"log"
	"os/exec"
	"testing"

	"github.com/fluxcd/pkg/gittestserver"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/publish/internal/failure"
)

// TestTooMuchIsNotTaken: what a server sends goes to disk, which others need too.
func TestTooMuchIsNotTaken(t *testing.T) {
	log.SetOutput(io.Discard) // the server logs each request
	s := gittestserver.NewGitServer(t.TempDir())
	git := func(args ...string) {
		out, err := exec.Command("git", append([]string{"-c", "user.name=Seed", "-c", "user.email=seed@example.org", "-C", s.Root()}, args...)...).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	git("init", "-q", "-b", "main", "work")
	git("-C", "work", "commit", "-q", "--allow-empty", "-m", "seed")
	git("clone", "-q", "--bare", "work", "repo.git")
	require.NoError(t, s.StartHTTP())
	t.Cleanup(s.StopHTTP)
	connection, err := Connect(s.HTTPAddress()+"/repo.git", nil, nil)
	require.NoError(t, err)
	for left, want := range map[int64]failure.Reason{maxFetched: "", 100: failure.TooLarge} {
		copied, err := Open(t.Context(), connection)
		require.NoError(t, err)
		copied.left = left
		_, err = copied.FetchCommits(t.Context(), []plumbing.Hash{copied.References["refs/heads/main"]})
		require.NoError(t, copied.Close())
		if want == "" {
			require.NoError(t, err)
			continue
		}
		var failed *failure.Error
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, want, failed.Reason)
		assert.NoDirExists(t, copied.directory)
	}
}
