package archive

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkAgainstRsync compares a writer's process with `rsync -a src/ dst && sync -f dst`, one after the other, and
// reports medians: seconds, ratios of seconds, and the writer's peak memory. It takes minutes and gigabytes:
//
//	go test -run '^$' -bench AgainstRsync/M -benchtime 5x ./fn/archive/
func BenchmarkAgainstRsync(b *testing.B) {
	for name, set := range map[string]dataset{"M": datasetM(), "L": datasetL(), "XL": datasetXL()} {
		b.Run(name, func(b *testing.B) {
			if _, err := exec.LookPath("rsync"); err != nil {
				b.Skip("rsync is not installed")
			}
			c := &contest{dir: b.TempDir(), figures: make(map[string][]float64)}
			set.write(b, filepath.Join(c.dir, "src"))
			b.ResetTimer()
			for i := range b.N {
				c.pair(b, itoa(i))
			}
			c.report(b)
		})
	}
}

// contest gathers the figures of pairs.
type contest struct {
	dir     string
	figures map[string][]float64
}

// pair runs both programs twice, so that the second time nothing has changed. Nothing is removed in between: a file
// system is slow to create what was just removed.
func (c *contest) pair(b *testing.B, n string) {
	b.Helper()
	src, rsynced, volume := filepath.Join(c.dir, "src"), filepath.Join(c.dir, "rsync"+n), filepath.Join(c.dir, "volume"+n)
	require.NoError(b, os.Mkdir(volume, 0o755))
	for _, what := range []string{"first", "unchanged"} {
		theirs := c.time(b, exec.Command("sh", "-c", `rsync -a "$0/" "$1" && sync -f "$1"`, src, rsynced), what+"-rsync-s")
		ours := c.time(b, childCommand(b, childArgs{Volume: volume, Files: src, Run: what, Workers: 0}), what+"-s")
		c.add(what+"/rsync", ours/theirs)
	}
}

// time runs a command and notes the seconds it takes, and the memory of ours.
func (c *contest) time(b *testing.B, cmd *exec.Cmd, what string) float64 {
	b.Helper()
	syscall.Sync()
	began := time.Now()
	out, err := cmd.CombinedOutput()
	seconds := time.Since(began).Seconds()
	require.NoError(b, err, "%s", out)
	c.add(what, seconds)
	if _, peak, ours := strings.Cut(string(out), "peak KiB: "); ours {
		kib, err := strconv.Atoi(strings.TrimSpace(peak))
		require.NoError(b, err)
		c.add(strings.TrimSuffix(what, "s")+"peak-MiB", float64(kib)/1024)
	}
	return seconds
}

func (c *contest) add(what string, figure float64) { c.figures[what] = append(c.figures[what], figure) }

func (c *contest) report(b *testing.B) {
	b.Helper()
	for what, figures := range c.figures {
		slices.Sort(figures)
		b.ReportMetric(figures[len(figures)/2], what)
	}
}

// BenchmarkVerify recomputes the digests of a run.
func BenchmarkVerify(b *testing.B) {
	root, files := b.TempDir(), b.TempDir()
	datasetM().write(b, files)
	v, err := OpenVolume(root)
	require.NoError(b, err)
	defer v.Close()
	result, err := v.Write(b.Context(), WriteOptions{Run: "r1", Objects: testObjects(), Files: files, Now: clock()})
	require.NoError(b, err)
	b.SetBytes(result.Manifest.Totals.Bytes)
	for b.Loop() {
		report, err := v.Verify(b.Context(), "r1", VerifyOptions{})
		require.NoError(b, err)
		require.NoError(b, report.Err())
	}
}

// BenchmarkVerifyRuns verifies a volume of some nights, each of which changed a hundredth, in a process of its own that
// has the mover's soft memory limit. Then it writes an unchanged run without and with ProveLinks. It takes minutes and
// gigabytes:
//
//	go test -run '^$' -bench VerifyRuns/L -benchtime 1x ./fn/archive/
func BenchmarkVerifyRuns(b *testing.B) {
	const nights = 10
	for name, set := range map[string]dataset{"M": datasetM(), "L": datasetL()} {
		b.Run(name, func(b *testing.B) {
			volume, files := b.TempDir(), b.TempDir()
			set.write(b, files)
			for night := range nights {
				touchEvery(b, files, 100, night)
				out, err := childCommand(b, childArgs{Volume: volume, Files: files, Run: "r" + itoa(night)}).CombinedOutput()
				require.NoError(b, err, "%s", out)
			}
			c := &contest{figures: make(map[string][]float64)}
			for i := range b.N {
				c.time(b, childCommand(b, childArgs{Volume: volume, VerifyRuns: true}), "all-s")
				c.time(b, childCommand(b, childArgs{Volume: volume, Files: files, Run: "unchanged" + itoa(i)}), "unchanged-s")
				c.time(b, childCommand(b, childArgs{Volume: volume, Files: files, Run: "proven" + itoa(i), ProveLinks: true}), "unchanged-proven-s")
			}
			c.report(b)
		})
	}
}

// touchEvery gives each n-th file another time, others every night.
func touchEvery(b *testing.B, root string, n, night int) {
	b.Helper()
	at, i := time.Unix(1_700_000_000+int64(night), 0), 0
	require.NoError(b, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if i++; err == nil && d.Type().IsRegular() && i%n == night%n {
			err = os.Chtimes(path, at, at)
		}
		return err
	}))
}
