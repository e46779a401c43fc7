//go:build bench

package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
	"threescale.dev/backup/test/peers"
)

// sample is one run of a program; see test/bench/measure.
type sample struct {
	Wall time.Duration
	CPU  time.Duration
	RSS  int64   // KiB, of the largest process, if there are several
	Busy float64 // share of the machine's processors, whoever has them: at 1, no program could be faster by waiting less
}

// tool is one of the programs that are compared, with what it does, as command lines.
type tool struct {
	env     []string
	prepare []string // makes a repository; nil where a folder is enough
	backup  func(run string) []string
	verify  []string // reads all that is stored; nil where nothing can
	restore []string
	again   []string // restores where all is there; nil where that would be no other command
	target  string   // that it restores to; none is there before
	stored  string   // folder of what it stores, if that is a folder
}

// set sets the variables of the tool's environment.
func (o tool) set(t *testing.T) {
	t.Helper()
	for _, variable := range o.env {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
}

// comparison keeps what the steps of several tools took. The mover is the first of them.
type comparison struct {
	t     *testing.T
	tools []string
	steps []string
	all   map[string][][]sample // by step, and by tool
}

// note keeps what a step took.
func (c *comparison) note(step string, side int, taken sample) {
	if c.all[step] == nil {
		if c.all == nil {
			c.all = map[string][][]sample{}
		}
		c.all[step] = make([][]sample, len(c.tools))
		c.steps = append(c.steps, step)
	}
	c.all[step][side] = append(c.all[step][side], taken)
}

// figures are the medians of all steps, and how long the mover took in relation to each peer, pair by pair.
func (c *comparison) figures() []Figure {
	var out []Figure
	for _, step := range c.steps {
		ours := c.all[step][0]
		for side, samples := range c.all[step] {
			if len(samples) == 0 {
				continue
			}
			figure := Figure{Step: step, Tool: c.tools[side]}
			var walls, processor, busy, ratios []float64
			for i, taken := range samples {
				walls, processor, busy = append(walls, taken.Wall.Seconds()), append(processor, taken.CPU.Seconds()), append(busy, taken.Busy)
				figure.MemoryMiB = max(figure.MemoryMiB, taken.RSS>>10)
				if side > 0 && len(ours) > 0 {
					ratios = append(ratios, float64(ours[i].Wall)/float64(taken.Wall))
				}
			}
			figure.Seconds, figure.Processor, figure.Busy = rounded(median(walls), 3), rounded(median(processor), 3), rounded(median(busy), 2)
			if len(ratios) > 0 {
				figure.Ratio, figure.Least, figure.Most = rounded(median(ratios), 2), rounded(slices.Min(ratios), 2), rounded(slices.Max(ratios), 2)
			}
			out = append(out, figure)
		}
	}
	return out
}

// show prints the figures.
func (c *comparison) show() {
	for _, f := range c.figures() {
		var ratio string
		if f.Ratio > 0 {
			ratio = fmt.Sprintf("; mover %.2f of it (%.2f to %.2f)", f.Ratio, f.Least, f.Most)
		}
		c.t.Logf("%-18s %-7s %8.3f s, %8.3f s of processor time, %4d MiB, machine busy %3.0f %%%s", f.Step, f.Tool, f.Seconds, f.Processor, f.MemoryMiB, 100*f.Busy, ratio)
	}
}

// wanted reports whether a set is measured: M and XL are, if THREESCALE_BACKUP_BENCH_SETS names no others, such as "L million".
func wanted(set dataset.Set) bool {
	sets := strings.Fields(os.Getenv("THREESCALE_BACKUP_BENCH_SETS"))
	if len(sets) == 0 {
		sets = []string{string(dataset.SetM), string(dataset.SetXL)}
	}
	return slices.Contains(sets, string(set))
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

// measurer is the path of test/bench/measure.
var measurer string

func TestMain(m *testing.M) {
	os.Exit(withMeasurer(m))
}

func withMeasurer(m *testing.M) int {
	dir, err := os.MkdirTemp("", "measure")
	if err == nil {
		defer os.RemoveAll(dir)
		measurer = filepath.Join(dir, "measure")
		err = peers.Build(context.Background(), "./test/bench/measure", measurer)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// measure runs a program, which must succeed.
func measure(t *testing.T, args []string) sample {
	t.Helper()
	command := exec.CommandContext(t.Context(), measurer, args...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	require.NoError(t, err)
	var taken sample
	_, err = fmt.Sscan(string(out), (*int64)(&taken.Wall), (*int64)(&taken.CPU), &taken.RSS, &taken.Busy)
	require.NoError(t, err)
	return taken
}

func median[T cmp.Ordered](list []T) T {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

func rounded(value float64, digits int) float64 {
	unit := math.Pow10(digits)
	return math.Round(value*unit) / unit
}
