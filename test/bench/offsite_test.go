//go:build bench

package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

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
	kopia, err := peers.Binary(t.Context(), "kopia")
	require.NoError(t, err)
	restic, err := exec.LookPath("restic")
	require.NoError(t, err, "install Debian's package restic")
	for _, set := range []dataset.Set{dataset.SetM, dataset.SetL} {
		if wanted := os.Getenv("THREESCALE_BACKUP_BENCH_SETS"); wanted != "" && !slices.Contains(strings.Fields(wanted), string(set)) {
			continue
		}
		for _, delay := range []time.Duration{0, roundTrip} {
			t.Run(fmt.Sprintf("%s/%s", set, delay), func(t *testing.T) {
				o := &offsite{t: t, dir: t.TempDir(), mover: mover, all: map[string]*[3][]sample{}}
				for pair := range offsiteSets[set] {
					o.one(set, delay, pair, restic, kopia)
				}
				o.show()
			})
		}
	}
}

// offsite is one set with one delay.
type offsite struct {
	t          *testing.T
	dir, mover string
	steps      []string
	all        map[string]*[3][]sample
}

// tool is one of those that are compared: what it does, as command lines.
type tool struct {
	env                           []string
	prepare, copy, again, restore []string
}

// note keeps what a step took.
func (o *offsite) note(step string, side int, taken sample) {
	if o.all[step] == nil {
		o.all[step] = &[3][]sample{}
		o.steps = append(o.steps, step)
	}
	o.all[step][side] = append(o.all[step][side], taken)
}

func (o *offsite) one(set dataset.Set, delay time.Duration, pair int, restic, kopia string) {
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
		resticTool(server, endpoint, dir, source, restic),
		kopiaTool(server, endpoint, dir, source, kopia),
	}
	// Each is first once: a server that has just started takes longer.
	order := []int{pair % 3, (pair + 1) % 3, (pair + 2) % 3}
	for _, side := range order {
		tool := tools[side]
		for _, variable := range tool.env {
			name, value, _ := strings.Cut(variable, "=")
			t.Setenv(name, value)
		}
		if tool.prepare != nil {
			o.note("make a repository", side, measure(t, tool.prepare))
		}
		syscall.Sync()
		o.note("first copy", side, measure(t, tool.copy))
	}
	if pair == 0 {
		t.Logf("%d files, %d bytes; first copy: %s", stats.Files, stats.Bytes, o.requests(server, endpoint, dir, volume))
	}
	changed := change(t, source, 100)
	backup("second")
	for _, side := range order {
		o.note("1 % changed", side, measure(t, tools[side].again))
	}
	if pair == 0 {
		t.Logf("after that, of %d changed files nothing changed again: %s", changed, o.requests(server, endpoint, dir, volume))
	}
	for _, side := range order {
		tool := tools[side]
		target := tool.restore[len(tool.restore)-1]
		target = strings.TrimPrefix(target, "--file-storage=")
		require.NoError(t, os.MkdirAll(target, 0o755))
		syscall.Sync()
		o.note("restore", side, measure(t, tool.restore))
		requireFiles(t, target, stats.Files)
	}
	require.NoError(t, os.RemoveAll(dir))
}

func (o *offsite) ours(s *objectstore.Server, endpoint, dir, volume string) tool {
	credentials := filepath.Join(dir, "credentials")
	require.NoError(o.t, os.MkdirAll(credentials, 0o700))
	require.NoError(o.t, os.WriteFile(filepath.Join(credentials, "accesskey"), []byte(s.AccessKey), 0o600))
	require.NoError(o.t, os.WriteFile(filepath.Join(credentials, "secretkey"), []byte(s.SecretKey), 0o600))
	bucket := job.BucketOptions{Endpoint: endpoint, Bucket: s.Bucket, Prefix: "ours", Region: "eu-central-1", Insecure: true, Credentials: credentials}
	mover := func(args []string) []string { return append([]string{o.mover}, args...) }
	back := filepath.Join(dir, "back-ours")
	return tool{
		copy:    mover(job.CopyOptions{Run: "first", Volume: volume, BucketOptions: bucket, Owner: "bench"}.Args()),
		again:   mover(job.CopyOptions{Run: "second", Volume: volume, BucketOptions: bucket, Owner: "bench"}.Args()),
		restore: append(mover(job.RefillOptions{Run: "second", BucketOptions: bucket, Existing: "Overwrite"}.Args()), "--file-storage="+back),
	}
}

func resticTool(s *objectstore.Server, endpoint, dir, source, binary string) tool {
	repository := []string{binary, "--quiet", "--cache-dir", filepath.Join(dir, "restic-cache"), "--repo", "s3:http://" + endpoint + "/" + s.Bucket + "/restic"}
	with := func(args ...string) []string { return append(slices.Clone(repository), args...) }
	return tool{
		env:     []string{"RESTIC_PASSWORD=x", "AWS_ACCESS_KEY_ID=" + s.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.SecretKey, "AWS_DEFAULT_REGION=eu-central-1"},
		prepare: with("init"),
		copy:    with("backup", source),
		again:   with("backup", source),
		restore: with("restore", "latest", "--target", filepath.Join(dir, "back-restic")),
	}
}

func kopiaTool(s *objectstore.Server, endpoint, dir, source, binary string) tool {
	base := []string{binary, "--config-file", filepath.Join(dir, "kopia.config"), "--log-dir", filepath.Join(dir, "kopia-log"), "--no-progress", "--log-level=error"}
	with := func(args ...string) []string { return append(slices.Clone(base), args...) }
	return tool{
		env: []string{"KOPIA_PASSWORD=x", "KOPIA_CHECK_FOR_UPDATES=false", "KOPIA_CACHE_DIRECTORY=" + filepath.Join(dir, "kopia-cache")},
		prepare: with("repository", "create", "s3", "--bucket="+s.Bucket, "--prefix=kopia/", "--endpoint="+endpoint, "--disable-tls", "--region=eu-central-1",
			"--access-key="+s.AccessKey, "--secret-access-key="+s.SecretKey),
		copy:    with("snapshot", "create", source),
		again:   with("snapshot", "create", source),
		restore: with("snapshot", "restore", source, filepath.Join(dir, "back-kopia")),
	}
}

// requests repeats our newest copy, and returns what its result says of the one before, or of this one.
func (o *offsite) requests(s *objectstore.Server, endpoint, dir, volume string) string {
	o.t.Helper()
	newest := "first"
	if _, err := os.Stat(filepath.Join(volume, "runs", "second")); err == nil {
		newest = "second"
	}
	tool := o.ours(s, endpoint, dir, volume)
	args := tool.copy
	if newest == "second" {
		args = tool.again
	}
	out, err := exec.CommandContext(o.t.Context(), args[0], args[1:]...).Output()
	require.NoError(o.t, err)
	var result job.CopyResult
	require.NoError(o.t, json.Unmarshal(out, &result))
	return fmt.Sprintf("the same copy again makes %d requests", result.Requests)
}

// show prints medians, and how ours are to each of the peers.
func (o *offsite) show() {
	for _, step := range o.steps {
		var line strings.Builder
		samples := o.all[step]
		for side, name := range []string{"mover", "restic", "kopia"} {
			if len(samples[side]) == 0 {
				continue
			}
			var walls, processor []time.Duration
			var busy []float64
			var peak int64
			for _, taken := range samples[side] {
				walls, processor, busy, peak = append(walls, taken.Wall), append(processor, taken.CPU), append(busy, taken.Busy), max(peak, taken.RSS)
			}
			slices.Sort(busy)
			fmt.Fprintf(&line, "  %s %s, %s of processor time, %d MiB, machine busy %.0f %%", name, median(walls).Round(10*time.Millisecond),
				median(processor).Round(10*time.Millisecond), peak>>10, 100*busy[len(busy)/2])
			if side > 0 && len(samples[0]) > 0 {
				ratios := make([]float64, 0, len(walls))
				for i := range samples[side] {
					ratios = append(ratios, float64(samples[0][i].Wall)/float64(samples[side][i].Wall))
				}
				slices.Sort(ratios)
				fmt.Fprintf(&line, " (%.2f of it)", ratios[len(ratios)/2])
			}
		}
		o.t.Logf("%-18s%s", step, line.String())
	}
}

// change writes over one of so many files, and returns how many those were.
func change(t *testing.T, dir string, of int) (changed int) {
	t.Helper()
	n := 0
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		if n++; n%of != 0 {
			return nil
		}
		changed++
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(path, []byte(strings.Repeat(fmt.Sprintf("%d changed\n", n), int(info.Size()/10)+1)), info.Mode())
	}))
	return changed
}

// requireFiles counts the regular files below dir.
func requireFiles(t *testing.T, dir string, want int) {
	t.Helper()
	n := 0
	require.NoError(t, filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			n++
		}
		return err
	}))
	require.Equal(t, want, n, "files below %s", dir)
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
