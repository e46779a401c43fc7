package commit_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/confine"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/publish"
	"threescale.dev/backup/test/gitserver"
)

// child makes this test's own program a child process, as the controller does.
const child = "child-of-a-test"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == child {
		os.Exit(confine.Serve(os.Args[2:], os.Stdin, os.Stdout, commit.Worker{}.Do))
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
		died    confine.End
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
				assert.Equal(t, tc.died, died.End)
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

// TestSilentSSH: a server that takes the connection and never speaks has neither process nor connection of ours when the time is over.
func TestSilentSSH(t *testing.T) {
	server, err := gitserver.Start(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, silent.Close()) })
	closed := make(chan error, 1)
	go func() {
		taken, err := silent.Accept()
		if err == nil {
			_, err = io.Copy(io.Discard, taken) // until the other side closes it
		}
		closed <- err
	}()
	request := inspect("")
	request.Inspect.Target.URL, request.Inspect.Target.Auth = "ssh://git@"+silent.Addr().String()+"/r.git", server.SSHAuth()
	answer, err := ask(t, confine.Limits{Memory: roomy(112 << 20), Time: 4 * time.Second}, request)
	require.NoError(t, err)
	require.NotNil(t, answer.Failure)
	assert.Equal(t, publish.Timeout, answer.Failure.Reason)
	require.NoError(t, <-closed)
}

// TestHostileFiles: whatever lies in a repository, who reads it ends in time, with an answer or alone.
func TestHostileFiles(t *testing.T) {
	server, err := gitserver.Start(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [0, 1, 2, 3, 4, 5, 6, 7]\n")
	for i := range 9 {
		fmt.Fprintf(&bomb, "a%d: &a%d [%s]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 8))
	}
	aliases := bomb.String()
	rule := func(regex string) string {
		return "creation_rules:\n- path_regex: '" + regex + "'\n  age: age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n"
	}
	many := strings.Repeat("  - path_regex: ^none$\n    age: age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n", 2000)
	for name, files := range map[string]map[string]string{
		"RulesNested":      {".sops.yaml": strings.Repeat("[", 200<<10)},
		"RulesMaps":        {".sops.yaml": strings.Repeat("{a: ", 50<<10)},
		"RulesAliases":     {".sops.yaml": aliases + "creation_rules: *a9\n"},
		"RulesLarge":       {".sops.yaml": strings.Repeat("# x\n", 8<<20/4)},
		"RulesMany":        {".sops.yaml": "creation_rules:\n" + many},
		"RulesRegex":       {".sops.yaml": rule("((((((x{1,9}){1,9}){1,9}){1,9})+)+)+$")},
		"RulesGroups":      {".sops.yaml": "creation_rules:\n- key_groups:\n" + strings.Repeat("  - merge: [{merge: [{age: [x]}]}]\n", 4000)},
		"IgnoreLarge":      {".sourceignore": strings.Repeat("*a*b*c*d*e*f*\n", 1<<20/14)},
		"IgnoreStars":      {".sourceignore": strings.Repeat(strings.Repeat("**/", 400)+"x\n", 200)},
		"IgnoreLine":       {".sourceignore": strings.Repeat("*a", 4<<20)},
		"KustomizationBig": {"base/dr/kustomization.yaml": "# Written by a ThreeScaleRestore, which writes this folder anew whenever it runs.\nresources: " + strings.Repeat("[", 1<<19)},
		"Overlay":          {"overlays/dr/kustomization.yaml": "# Written by a ThreeScaleRestore, which writes this folder anew whenever it runs.\n" + aliases + "namespace: *a9\n"},
		"TooBig":           {"overlays/dr/kustomization.yaml": strings.Repeat("x", 17<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			repository, err := server.CreateRepository(t.Context(), strings.ToLower(name), "main", "")
			require.NoError(t, err)
			data := map[string][]byte{}
			for file, text := range files {
				data[file] = []byte(text)
			}
			_, err = repository.Push(t.Context(), gitserver.Change{Branch: "main", Message: "x", Files: data})
			require.NoError(t, err)
			request := inspect("")
			request.Inspect.Target.URL, request.Inspect.Target.Auth = repository.HTTP(), server.BasicAuth()
			request.Inspect.Sensitive = []overlay.Key{{Kind: "Secret", Name: "zync"}}
			request.Inspect.Plain = []overlay.Key{{Kind: "APIManager"}}
			if !strings.HasPrefix(name, "Rules") {
				request.Inspect.Recipients = []string{newParty(t).recipient}
			}
			start := time.Now()
			answer, err := ask(t, confine.Limits{Memory: roomy(112 << 20), Time: time.Minute}, request)
			t.Log(time.Since(start).Round(time.Millisecond), err, answer.Failure)
			if died, ok := errors.AsType[*confine.DiedError](err); ok {
				assert.NotEqual(t, confine.Crashed, died.End)
				return
			}
			require.NoError(t, err)
			require.Nil(t, answer.Failure)
			if name == "TooBig" {
				require.NotNil(t, answer.Branch.Problem)
				assert.Equal(t, commit.FolderTaken, answer.Branch.Problem.Kind, "what cannot be read is not written over")
			}
		})
	}
}
