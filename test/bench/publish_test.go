//go:build bench

package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/publish"
)

const (
	bigFiles   = 100_000
	bigSize    = 5000                                 // bytes of a file
	bigHistory = 3000                                 // commits that change one file each
	bigBare    = "THREESCALE_BACKUP_BENCH_REPOSITORY" // a repository of an earlier run, instead of a new one
	bigURL     = "THREESCALE_BACKUP_BENCH_URL"
	bigValue   = "THREESCALE_BACKUP_BENCH_VALUE"
	bigFolder  = "apps/restored/base/example"
	bigObjects = 60 // files of one restore
)

// TestAgainstGit measures one commit of a restore in a repository of 100,000
// files, 500 MB and 3,000 commits, against git clone --depth 1, git add, git
// commit and git push, in pairs, over HTTP.
func TestAgainstGit(t *testing.T) {
	root := t.TempDir()
	bare := os.Getenv(bigBare)
	if bare == "" {
		bare = filepath.Join(root, "big.git")
		generate(t, bare)
	}
	git(t, bare, "config", "http.receivepack", "true")
	url := serveGit(t, bare)
	executable, err := os.Executable()
	require.NoError(t, err)

	servers := []struct {
		name    string
		filters string
		pairs   int
	}{
		{"server as git makes it", "false", 3},
		{"server that leaves out files (as GitHub, GitLab, Gitea)", "true", 3},
	}
	for _, each := range servers {
		git(t, bare, "config", "uploadpack.allowFilter", each.filters)
		git(t, bare, "config", "uploadpack.allowAnySHA1InWant", each.filters)
		var ratios []float64
		for pair := range each.pairs {
			t.Setenv(bigURL, url)
			t.Setenv(bigValue, fmt.Sprint(time.Now().UnixNano()))
			ours := measure(t, []string{executable, "-test.run=TestPublishAsChild$", "-test.count=1"})
			work := filepath.Join(root, "work")
			theirs := measure(t, []string{"sh", "-ec", byHand, "sh", url, work, bigFolder + "-git", fmt.Sprint(each.filters, pair, time.Now().UnixNano())})
			require.NoError(t, os.RemoveAll(work))
			ratios = append(ratios, float64(ours.Wall)/float64(theirs.Wall))
			t.Logf("%s: publish %s, git %s, ratio %.2f, publish's peak memory %d MiB", each.name,
				ours.Wall.Round(time.Millisecond), theirs.Wall.Round(time.Millisecond), ratios[pair], ours.RSS>>10)
		}
		slices.Sort(ratios)
		t.Logf("%s: median ratio %.2f", each.name, ratios[len(ratios)/2])
	}
	git(t, bare, "fsck", "--connectivity-only")
}

const byHand = `git -c user.name=a clone -q --depth 1 "$1" "$2"
cd "$2"
mkdir -p "$3"
for i in $(seq 60); do echo "$4 $i" >"$3/$i.yaml"; done
git add "$3"
git -c user.name=a -c user.email=a@example.org commit -q -m restored
git push -q origin main`

// TestPublishAsChild is our side of a pair, in a process of its own.
func TestPublishAsChild(t *testing.T) {
	url, value := os.Getenv(bigURL), os.Getenv(bigValue)
	if url == "" {
		t.Skip("TestAgainstGit runs it")
	}
	commit := publish.Commit{
		AuthorName: "a", AuthorEmail: "a@example.org", Message: "restored",
		Trailer: publish.Trailer{Key: "Threescale-Restore", Subject: "3scale/example", Value: value},
	}
	result, err := publish.Publish(t.Context(), publish.Target{URL: url, Branch: "main", Timeout: 10 * time.Minute}, []string{bigFolder}, commit,
		func(_ context.Context, files fs.FS) (publish.Edit, error) {
			_, err := fs.ReadFile(files, "apps/t000/s00/f0.yaml") // as .sops.yaml is
			edit := publish.Edit{Write: map[string][]byte{}}
			for i := range bigObjects {
				edit.Write[fmt.Sprintf("%s/%d.yaml", bigFolder, i)] = []byte(fmt.Sprintln(value, i))
			}
			return edit, err
		})
	require.NoError(t, err)
	require.True(t, result.Pushed)
}

// serveGit serves a repository by git http-backend, since gittestserver never answers git clone --depth over HTTP.
func serveGit(t *testing.T, bare string) string {
	t.Helper()
	path, err := exec.LookPath("git")
	require.NoError(t, err)
	server := httptest.NewServer(&cgi.Handler{Path: path, Args: []string{"http-backend"}, Stderr: io.Discard, Env: []string{
		"GIT_PROJECT_ROOT=" + filepath.Dir(bare), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=bench",
	}})
	t.Cleanup(server.Close)
	return server.URL + "/" + filepath.Base(bare)
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput()
	require.NoError(t, err, string(out))
}

// generate makes the repository by git fast-import.
func generate(t *testing.T, bare string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(bare, 0o755))
	git(t, bare, "init", "-q", "--bare", "-b", "main")
	command := exec.Command("git", "-C", bare, "fast-import", "--quiet")
	pipe, err := command.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	out := bufio.NewWriterSize(pipe, 1<<20)
	random := rand.New(rand.NewPCG(1, 1))
	commit := func(number int) {
		message := fmt.Sprint("change ", number)
		fmt.Fprintf(out, "commit refs/heads/main\ncommitter A <a@example.org> %d +0000\ndata %d\n%s\n", 1_700_000_000+number*60, len(message), message)
	}
	commit(0)
	for number := range bigFiles {
		writeBig(out, random, number)
	}
	for number := range bigHistory {
		commit(number + 1)
		writeBig(out, random, random.IntN(bigFiles))
	}
	require.NoError(t, out.Flush())
	require.NoError(t, pipe.Close())
	require.NoError(t, command.Wait())
}

// writeBig writes one file of half random text, as manifests with encrypted values are.
func writeBig(out io.Writer, random *rand.Rand, number int) {
	var data strings.Builder
	for data.Len() < bigSize {
		fmt.Fprintf(&data, "  key%d: %016x%016x%016x\n", random.IntN(1000), random.Uint64(), random.Uint64(), random.Uint64())
	}
	fmt.Fprintf(out, "M 100644 inline apps/t%03d/s%02d/f%d.yaml\ndata %d\n%s\n", number/500, number/20%25, number, data.Len(), data.String())
}
