package commit_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/confine"
	"threescale.dev/backup/fn/publish"
	"threescale.dev/backup/test/gitserver"
)

// child makes this test's own program a child process, as the controller does.
const child = "child-of-a-test"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == child {
		os.Exit(confine.Serve(os.Args[2:], os.Stdin, os.Stdout, commit.Do))
	}
	os.Exit(m.Run())
}

// ask has a child do something.
func ask(t *testing.T, limits confine.Limits, request commit.Request) (*commit.Answer, error) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	answer := &commit.Answer{}
	err = confine.Program{self, child}.Run(t.Context(), limits, request, answer)
	return answer, err
}

// inspect asks for the branch main of a server.
func inspect(url string) commit.Request {
	return commit.Request{Inspect: &commit.Place{
		Root: ".", Name: "dr", Namespace: "3scale",
		Target: publish.Target{URL: url + "/r.git", Branch: "main", Timeout: time.Hour},
	}}
}

// TestHostileServers: whatever a Git server answers, the child that reads it dies alone, or says so in time.
func TestHostileServers(t *testing.T) {
	const size, less = 900 << 20, 300 << 20
	head := "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\n"
	cases := map[string]struct {
		reason  string
		handler http.Handler
		died    confine.Cause
		failed  publish.Reason
		time    time.Duration
	}{
		"References": {"they never end", gitserver.EndlessReferences(), confine.OutOfMemory, "", time.Minute},
		"Blob":       {"a pack of 900 KB that holds one of 900 MB", gitserver.Bomb(gitserver.PackedBlob, "", 0, size), confine.OutOfMemory, "", time.Minute},
		"Commit":     {"a message is read whole", gitserver.Bomb(gitserver.PackedCommit, head, 'a', less), confine.OutOfMemory, "", time.Minute},
		"Tree":       {"it is named as a commit", gitserver.Bomb(gitserver.PackedTree, "", '1', less), confine.OutOfMemory, "", time.Minute},
		"Error":      {"it is read whole too", gitserver.EndlessError(), confine.OutOfMemory, "", time.Minute},
		"Silence":    {"the timeout is the tenant's, the limit is not", gitserver.Silent(), "", publish.Timeout, 4 * time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tc.handler)
			t.Cleanup(server.Close)
			answer, err := ask(t, confine.Limits{Memory: roomy(112 << 20), Time: tc.time}, inspect(server.URL))
			var died *confine.DiedError
			if tc.died != "" {
				require.ErrorAs(t, err, &died, tc.reason)
				assert.Equal(t, tc.died, died.Cause)
				return
			}
			require.NoError(t, err, tc.reason)
			require.NotNil(t, answer.Failure)
			assert.Equal(t, tc.failed, answer.Failure.Reason, answer.Failure.Message)
			assert.Less(t, len(answer.Failure.Message), 4<<10)
		})
	}
}

// roomy is a limit for a child that may be compiled with the race detector, which needs some times the memory.
func roomy(memory int64) int64 { return memory * memoryFactor }
