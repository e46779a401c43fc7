//go:build bench

// Package bench measures the mover against rsync, as whole processes, in turn:
// machines are noisy, so that only the ratio of runs side by side says anything.
package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
	"threescale.dev/backup/test/peers"
)

// sets are measured with as many pairs as they are long. The variable
// THREESCALE_BACKUP_BENCH_SETS names others, such as "M XL".
var sets = map[dataset.Set]int{dataset.SetM: 9, dataset.SetXL: 5, dataset.SetL: 3}

// unchangedRounds is how often a pair is repeated when nothing has changed.
const unchangedRounds = 5

// sample is one process: how long it took, and the most memory that it held.
type sample struct {
	Wall time.Duration
	CPU  time.Duration
	RSS  int64   // KiB
	Busy float64 // share of the machine's processors, whoever has them: at 1, no program could be faster by waiting less
}

func TestAgainstRsync(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "mover")
	require.NoError(t, peers.Build(t.Context(), "./fn/cmd/mover", binary))
	for _, set := range []dataset.Set{dataset.SetM, dataset.SetXL, dataset.SetL} {
		wanted := os.Getenv("THREESCALE_BACKUP_BENCH_SETS")
		if wanted != "" && !slices.Contains(strings.Fields(wanted), string(set)) {
			continue
		}
		t.Run(string(set), func(t *testing.T) { compare(t, binary, set, sets[set]) })
	}
}

func compare(t *testing.T, binary string, set dataset.Set, pairs int) {
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	stats, err := dataset.Generate(source, set, 1)
	require.NoError(t, err)
	objects := filepath.Join(dir, "objects")
	writeSnapshot(t, objects)
	t.Logf("set %s: %d files, %d bytes", set, stats.Files, stats.Bytes)

	var first, again, refilled, refilledAgain [2][]sample
	for pair := range pairs {
		ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
		for _, target := range []string{ours, theirs} {
			require.NoError(t, os.RemoveAll(target))
			require.NoError(t, os.MkdirAll(target, 0o755))
		}
		syscall.Sync()
		backup := func(run int) []string {
			return []string{binary, job.BackupCommand, fmt.Sprintf("--run=pair%d-%d", pair, run), "--volume=" + ours, "--objects=" + objects, "--file-storage=" + source}
		}
		rsync := []string{"sh", "-c", `rsync -a "$1"/ "$2" && sync -f "$2"`, "sh", source, theirs}
		first[0] = append(first[0], measure(t, backup(1)))
		first[1] = append(first[1], measure(t, rsync))
		// What was just written still keeps the disk busy, and would count for
		// whoever comes next.
		syscall.Sync()
		for round := range unchangedRounds {
			again[0] = append(again[0], measure(t, backup(2+round)))
			again[1] = append(again[1], measure(t, rsync))
		}

		back, rsynced := filepath.Join(dir, "back"), filepath.Join(dir, "rsynced")
		for _, target := range []string{back, rsynced} {
			require.NoError(t, os.RemoveAll(target))
			require.NoError(t, os.MkdirAll(target, 0o755))
		}
		syscall.Sync()
		refill := []string{binary, job.RefillCommand, "--run=" + job.Latest, "--volume=" + ours, "--file-storage=" + back, "--existing=Overwrite"}
		rsync[4], rsync[5] = theirs, rsynced
		refilled[0] = append(refilled[0], measure(t, refill))
		refilled[1] = append(refilled[1], measure(t, rsync))
		refilledAgain[0] = append(refilledAgain[0], measure(t, refill))
		refilledAgain[1] = append(refilledAgain[1], measure(t, append([]string{"sh", "-c", `rsync -ac "$1"/ "$2" && sync -f "$2"`}, rsync[3:]...)))
	}
	show(t, "first run", first)
	show(t, "nothing changed", again)
	show(t, "refill", refilled)
	show(t, "refilled again", refilledAgain) // rsync -c reads all as well
}

// writeSnapshot writes what a Job's pod finds mounted.
func writeSnapshot(t *testing.T, dir string) {
	t.Helper()
	write := func(path string, data []byte) {
		full := filepath.Join(dir, filepath.FromSlash(path))
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		require.NoError(t, os.WriteFile(full, data, 0o600))
	}
	description, err := json.Marshal(job.Description{Source: job.Source{Namespace: "3scale", APIManager: "example"}})
	require.NoError(t, err)
	write(job.DescriptionFile, description)
	for _, object := range dataset.Installation(dataset.Options{Seed: 1}) {
		name := object.GetName()
		encoded, err := threescale.EncodeJSON(threescale.CleanForBackup(object).Object)
		require.NoError(t, err)
		switch object.GetKind() {
		case threescale.APIManagerKind:
			write(job.APIManagerFile, encoded)
		case threescale.KindConfigMap:
			write(job.ConfigMapFile(name), encoded)
		case threescale.KindSecret:
			encoded, err = threescale.EncodeJSON(threescale.SecretMeta(object).Object)
			require.NoError(t, err)
			write(job.SecretMetadataFile(name), encoded)
			write(job.SecretKeyFile(name, "key"), []byte("value"))
		}
	}
}

// measuring tells this program that it was started by measure.
const measuring = "THREESCALE_BACKUP_BENCH_MEASURING"

// TestMain makes this program one that measures another.
func TestMain(m *testing.M) {
	if os.Getenv(measuring) == "" {
		os.Exit(m.Run())
	}
	taken, err := run(os.Args[1:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(taken)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// measure runs a program below a small process: Linux counts what a process
// held before it became another program to that one's peak, and this one has
// made up the data.
func measure(t *testing.T, args []string) sample {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	command := exec.Command(self, args...)
	command.Env = append(os.Environ(), measuring+"=1")
	command.Stderr = os.Stderr
	out, err := command.Output()
	require.NoError(t, err)
	var taken sample
	require.NoError(t, json.Unmarshal(out, &taken))
	return taken
}

func run(args []string) (sample, error) {
	command := exec.Command(args[0], args[1:]...)
	command.Stderr = os.Stderr
	command.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, measuring+"=") })
	idle := idleTime()
	start := time.Now()
	if err := command.Run(); err != nil {
		return sample{}, fmt.Errorf("cannot run %q: %w", args[0], err)
	}
	wall := time.Since(start)
	busy := 1 - (idleTime()-idle).Seconds()/wall.Seconds()/float64(runtime.NumCPU())
	usage, ok := command.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return sample{}, errors.New("no resource usage on this system")
	}
	return sample{wall, command.ProcessState.UserTime() + command.ProcessState.SystemTime(), usage.Maxrss, busy}, nil
}

// idleTime is how long the processors of the machine had nothing to do, since it started.
func idleTime() time.Duration {
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0
	}
	var up, idle float64
	if _, err := fmt.Sscan(string(uptime), &up, &idle); err != nil {
		return 0
	}
	return time.Duration(idle * float64(time.Second))
}

// show prints medians, and the median of the ratios pair by pair.
func show(t *testing.T, what string, samples [2][]sample) {
	t.Helper()
	ratios := make([]float64, 0, len(samples[0]))
	var walls [2][]time.Duration
	var rss int64
	for i := range samples[0] {
		ratios = append(ratios, float64(samples[0][i].Wall)/float64(samples[1][i].Wall))
		rss = max(rss, samples[0][i].RSS)
		for side := range samples {
			walls[side] = append(walls[side], samples[side][i].Wall)
		}
	}
	slices.Sort(ratios)
	t.Logf("%-16s mover %7s  rsync and sync %7s  ratio %.2f (%.2f to %.2f)  mover's peak memory %d MiB", what,
		median(walls[0]).Round(time.Millisecond), median(walls[1]).Round(time.Millisecond),
		ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], rss>>10)
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}
