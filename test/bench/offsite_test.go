//go:build bench

package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/test/dataset"
	"threescale.dev/backup/test/objectstore"
	"threescale.dev/backup/test/peers"
)

// offsiteSets are the sets that are copied to a bucket, and with how many pairs.
var offsiteSets = map[dataset.Set]int{dataset.SetM: 3, dataset.SetL: 1}

// roundTrip is added to each answer of the object store.
const roundTrip = 30 * time.Millisecond

// TestAgainstOffsite measures copies to a bucket, and restores from it, against restic and kopia with the same server: near
// it, and with a delay in between. The peers read the files themselves, and the mover a volume that they were backed up to.
func TestAgainstOffsite(t *testing.T) {
	mover := filepath.Join(t.TempDir(), "mover")
	require.NoError(t, peers.Build(t.Context(), "./fn/cmd/mover", mover))
	kopiaBinary, err := peers.Binary(t.Context(), "kopia")
	require.NoError(t, err)
	resticBinary, err := exec.LookPath("restic")
	require.NoError(t, err, "install Debian's package restic")
	for _, set := range []dataset.Set{dataset.SetM, dataset.SetL} {
		if !wanted(set) {
			continue
		}
		for _, delay := range []time.Duration{0, roundTrip} {
			t.Run(fmt.Sprintf("%s/%s", set, delay), func(t *testing.T) {
				o := &offsite{comparison: comparison{t: t, tools: []string{"mover", "restic", "kopia"}}, dir: t.TempDir(), mover: mover}
				for pair := range offsiteSets[set] {
					o.one(set, delay, pair, resticBinary, kopiaBinary)
				}
				o.show()
			})
		}
	}
}

// offsite is one set with one delay.
type offsite struct {
	comparison
	dir, mover string
}

func (o *offsite) one(set dataset.Set, delay time.Duration, pair int, resticBinary, kopiaBinary string) {
	t := o.t
	t.Helper()
	dir := filepath.Join(o.dir, fmt.Sprint(pair))
	source, volume, objects := filepath.Join(dir, "source"), filepath.Join(dir, "volume"), filepath.Join(dir, "objects")
	require.NoError(t, os.MkdirAll(volume, 0o755))
	stats, err := dataset.Generate(source, set, int64(pair+1))
	require.NoError(t, err)
	writeSnapshot(t, objects)
	backup := func(run string) {
		measure(t, []string{o.mover, job.BackupCommand, "--run=" + run, "--volume=" + volume, "--objects=" + objects, "--file-storage=" + source})
	}
	backup("first")
	server := objectstore.StartReal(t)
	endpoint := delayed(t, server.Endpoint, delay)
	tools := []tool{
		o.ours(server, endpoint, dir, volume),
		resticTool(server, endpoint, dir, source, resticBinary),
		kopiaTool(server, endpoint, dir, source, kopiaBinary),
	}
	// Each is first once: a server that has just started takes longer.
	order := []int{pair % 3, (pair + 1) % 3, (pair + 2) % 3}
	for _, side := range order {
		tool := tools[side]
		tool.set(t)
		if tool.prepare != nil {
			o.note("make a repository", side, measure(t, tool.prepare))
		}
		syscall.Sync()
		o.note("first copy", side, measure(t, tool.backup("first")))
	}
	if pair == 0 {
		t.Logf("%d files, %d bytes; first copy: %s", stats.Files, stats.Bytes, o.requests(server, endpoint, dir, volume))
		for side, prefix := range []string{"ours/", "restic/", "kopia/"} { // each of them took a request, which providers charge for
			t.Logf("%s has stored %d objects", o.tools[side], countObjects(t, server, prefix))
		}
	}
	changed := change(t, source, 1)
	backup("second")
	for _, side := range order {
		o.note("1 % changed", side, measure(t, tools[side].backup("second")))
	}
	if pair == 0 {
		t.Logf("after that, of %d changed files nothing changed again: %s", changed, o.requests(server, endpoint, dir, volume))
	}
	for _, side := range order {
		tool := tools[side]
		require.NoError(t, os.MkdirAll(tool.target, 0o755))
		syscall.Sync()
		o.note("restore", side, measure(t, tool.restore))
		requireFiles(t, tool.target, stats.Files)
	}
	require.NoError(t, os.RemoveAll(dir))
}

// countObjects counts the objects of a server's bucket below a prefix.
func countObjects(t *testing.T, s *objectstore.Server, prefix string) (n int) {
	t.Helper()
	client, err := minio.New(s.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, "")})
	require.NoError(t, err)
	for object := range client.ListObjects(t.Context(), s.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		require.NoError(t, object.Err)
		n++
	}
	return n
}

func (o *offsite) ours(s *objectstore.Server, endpoint, dir, volume string) tool {
	keys := filepath.Join(dir, "credentials")
	require.NoError(o.t, os.MkdirAll(keys, 0o700))
	require.NoError(o.t, os.WriteFile(filepath.Join(keys, "accesskey"), []byte(s.AccessKey), 0o600))
	require.NoError(o.t, os.WriteFile(filepath.Join(keys, "secretkey"), []byte(s.SecretKey), 0o600))
	bucket := job.BucketOptions{Endpoint: endpoint, Bucket: s.Bucket, Prefix: "ours", Region: "eu-central-1", Insecure: true, Credentials: keys}
	mover := func(args []string) []string { return append([]string{o.mover}, args...) }
	back := filepath.Join(dir, "back-ours")
	return tool{
		backup: func(run string) []string {
			return mover(job.CopyOptions{Run: run, Volume: volume, BucketOptions: bucket, Owner: "bench"}.Args())
		},
		restore: mover(job.RefillOptions{Run: "second", BucketOptions: bucket, FileStorage: back, Existing: "Overwrite"}.Args()),
		target:  back,
	}
}

func resticTool(s *objectstore.Server, endpoint, dir, source, binary string) tool {
	out := restic(binary, "s3:http://"+endpoint+"/"+s.Bucket+"/restic", dir, source)
	out.env = append(out.env, "AWS_ACCESS_KEY_ID="+s.AccessKey, "AWS_SECRET_ACCESS_KEY="+s.SecretKey, "AWS_DEFAULT_REGION=eu-central-1")
	return out
}

func kopiaTool(s *objectstore.Server, endpoint, dir, source, binary string) tool {
	return kopia(binary, dir, source, "s3", "--bucket="+s.Bucket, "--prefix=kopia/", "--endpoint="+endpoint, "--disable-tls", "--region=eu-central-1",
		"--access-key="+s.AccessKey, "--secret-access-key="+s.SecretKey)
}

// requests repeats our newest copy, and returns what its result says of the one before, or of this one.
func (o *offsite) requests(s *objectstore.Server, endpoint, dir, volume string) string {
	o.t.Helper()
	newest := "first"
	if _, err := os.Stat(filepath.Join(volume, "runs", "second")); err == nil {
		newest = "second"
	}
	args := o.ours(s, endpoint, dir, volume).backup(newest)
	out, err := exec.CommandContext(o.t.Context(), args[0], args[1:]...).Output()
	require.NoError(o.t, err)
	var result job.CopyResult
	require.NoError(o.t, json.Unmarshal(out, &result))
	return fmt.Sprintf("the same copy again makes %d requests", result.Requests)
}

// delayed returns an address from where each answer of a server comes later. It delays, and limits no throughput.
func delayed(t *testing.T, address string, delay time.Duration) string {
	t.Helper()
	if delay == 0 {
		return address
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				server, err := net.Dial("tcp", address)
				if err != nil {
					_ = client.Close()
					return
				}
				go forward(server, client, 0)
				forward(client, server, delay)
			}()
		}
	}()
	return listener.Addr().String()
}

// chunk is what was read at once, and when it is due.
type chunk struct {
	data []byte
	due  time.Time
}

// forward passes on what it reads, each piece as late as the delay says.
func forward(to, from net.Conn, delay time.Duration) {
	pieces := make(chan chunk, 1024)
	go func() {
		defer close(pieces)
		for {
			data := make([]byte, 32<<10)
			n, err := from.Read(data)
			if n > 0 {
				pieces <- chunk{data[:n], time.Now().Add(delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	for piece := range pieces {
		time.Sleep(time.Until(piece.due))
		if _, err := to.Write(piece.data); err != nil {
			_ = from.Close()
			_, _ = io.Copy(io.Discard, from)
		}
	}
	_ = to.Close()
	_ = from.Close()
}
