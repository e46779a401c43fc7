//go:build bench

package bench

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/test/dataset"
	"threescale.dev/backup/test/peers"
)

// The steps, as the figures name them.
const (
	stepFirst     = "first"
	stepUnchanged = "unchanged"
	stepChanged   = "1 % changed"
	stepVerify    = "verify"
	stepRestore   = "restore"
	stepAgain     = "restore again"
)

// unchangedRepeats is how often a round repeats the step in which nothing has changed.
const unchangedRepeats = 3

// localSets are the sets that are backed up to a folder, and in how many rounds. THREESCALE_BACKUP_BENCH_ROUNDS asks for
// another number. S is only there to try the bench.
var localSets = []struct {
	set    dataset.Set
	rounds int
}{{dataset.SetS, 1}, {dataset.SetM, 5}, {dataset.SetXL, 5}, {dataset.SetL, 3}, {dataset.SetMillion, 1}}

// TestAgainstPeers measures the mover beside programs that do the same on one local disk, and keeps the figures.
func TestAgainstPeers(t *testing.T) {
	l := local{mover: filepath.Join(t.TempDir(), "mover")}
	require.NoError(t, peers.Build(t.Context(), "./fn/cmd/mover", l.mover))
	var err error
	l.kopia, err = peers.Binary(t.Context(), "kopia")
	require.NoError(t, err)
	for _, program := range []string{"rsync", "restic"} {
		_, err := exec.LookPath(program)
		require.NoError(t, err, "install Debian's package %s", program)
	}
	for _, of := range localSets {
		if !wanted(of.set) {
			continue
		}
		t.Run(string(of.set), func(t *testing.T) {
			l, rounds := l, of.rounds
			if other := os.Getenv("THREESCALE_BACKUP_BENCH_ROUNDS"); other != "" {
				rounds, err = strconv.Atoi(other)
				require.NoError(t, err)
			}
			l.comparison, l.dir, l.disks = comparison{t: t, tools: []string{"mover", "rsync", "cp", "restic", "kopia"}}, t.TempDir(), map[string]disk{}
			l.source, l.objects = filepath.Join(l.dir, "source"), filepath.Join(l.dir, "objects")
			l.stats, err = dataset.Generate(l.source, of.set, 1)
			require.NoError(t, err)
			writeSnapshot(t, l.objects)
			for round := range rounds {
				l.round(round)
			}
			l.show()
			require.NoError(t, Keep("../..", string(of.set), l.measured(of.set, rounds)))
		})
	}
}

// local is one set on one disk.
type local struct {
	comparison
	mover, kopia         string // binaries
	dir, source, objects string
	stats                dataset.Stats
	changes              int             // how often files of the source were changed
	disks                map[string]disk // by step and tool, of the last round
}

// disk is what a tool stores.
type disk struct{ bytes, inodes int64 }

// round does each step once with all tools, another one first each time. Of a million files a disk would have to hold too many
// copies: there each tool does all steps, then the next one does.
func (l *local) round(number int) {
	order := make([]int, len(l.tools))
	for i := range order {
		order[i] = (number + i) % len(order)
	}
	turns := [][]int{order}
	if l.stats.Set == dataset.SetMillion {
		turns = slices.Collect(slices.Chunk(order, 1))
	}
	for _, sides := range turns {
		dir := filepath.Join(l.dir, "stored")
		l.turn(l.commands(dir), sides)
		require.NoError(l.t, os.RemoveAll(dir))
	}
}

// turn does all steps with some of the tools.
func (l *local) turn(tools []tool, sides []int) {
	take := func(step string, side int, args []string) {
		if args != nil {
			syscall.Sync() // what was written before would count for whoever comes next
			l.note(step, side, measure(l.t, args))
		}
	}
	for _, side := range sides {
		require.NoError(l.t, os.MkdirAll(tools[side].stored, 0o755))
		tools[side].set(l.t)
		if tools[side].prepare != nil {
			measure(l.t, tools[side].prepare)
		}
		take(stepFirst, side, tools[side].backup("first"))
		l.weigh(stepFirst, side, tools[side])
	}
	for repeat := range unchangedRepeats {
		for i := range sides {
			side := sides[(repeat+i)%len(sides)]
			take(stepUnchanged, side, tools[side].backup(fmt.Sprint("unchanged-", repeat)))
		}
	}
	l.changes++
	change(l.t, l.source, l.changes)
	for _, side := range sides {
		take(stepChanged, side, tools[side].backup("changed"))
		l.weigh(stepChanged, side, tools[side])
	}
	for _, side := range sides {
		take(stepVerify, side, tools[side].verify)
	}
	for _, side := range sides {
		require.NoError(l.t, os.MkdirAll(tools[side].target, 0o755))
		take(stepRestore, side, tools[side].restore)
		requireFiles(l.t, tools[side].target, l.stats.Files)
		take(stepAgain, side, tools[side].again)
		requireFiles(l.t, tools[side].target, l.stats.Files)
		require.NoError(l.t, os.RemoveAll(tools[side].target))
	}
}

// commands are those of the tools, in the order of their names. What does not sync itself is followed by sync -f, so that after
// each of them a power loss loses nothing.
func (l *local) commands(dir string) []tool {
	at := func(name string) string { return filepath.Join(dir, name) }
	mover := func(args ...string) []string { return append([]string{l.mover}, args...) }
	ours := tool{stored: at("volume"), target: at("back")}
	ours.backup = func(run string) []string {
		return mover(job.BackupCommand, "--run="+run, "--volume="+ours.stored, "--objects="+l.objects, "--file-storage="+l.source)
	}
	ours.verify = mover(job.VerifyOptions{Run: job.All, Volume: ours.stored}.Args()...)
	ours.restore = mover(job.RefillOptions{Run: job.Latest, Volume: ours.stored, FileStorage: ours.target, Existing: "Overwrite"}.Args()...)
	ours.again = ours.restore

	rsync := tool{stored: at("rsync"), target: at("back-rsync")}
	rsync.backup = func(string) []string { return synced(rsync.stored, "rsync", "-a", l.source+"/", rsync.stored) }
	rsync.verify = []string{"sh", "-c", `differing=$(rsync -aci --dry-run "$1"/ "$2") && test -z "$differing"`, "sh", l.source, rsync.stored}
	rsync.restore = synced(rsync.target, "rsync", "-a", rsync.stored+"/", rsync.target)
	rsync.again = synced(rsync.target, "rsync", "-ac", rsync.stored+"/", rsync.target)

	cp := tool{stored: at("cp"), target: at("back-cp")}
	cp.backup = func(string) []string { return synced(cp.stored, "cp", "-au", l.source+"/.", cp.stored) }
	cp.restore = synced(cp.target, "cp", "-a", cp.stored+"/.", cp.target)

	restic := restic("restic", at("restic"), dir, l.source)
	restic.stored = at("restic")
	restic.restore = synced(restic.target, restic.restore...)
	restic.again = restic.restore

	kopia := kopia(l.kopia, dir, l.source, "filesystem", "--path="+at("kopia"))
	kopia.stored = at("kopia")
	unsynced := kopia.backup
	kopia.backup = func(run string) []string { return synced(kopia.stored, unsynced(run)...) }
	kopia.restore = synced(kopia.target, kopia.restore...)
	kopia.again = kopia.restore
	return []tool{ours, rsync, cp, restic, kopia}
}

// restic is the tool with a repository anywhere. It syncs the files of a local one by itself, and no file that it restores.
func restic(binary, repository, dir, source string) tool {
	with := func(args ...string) []string {
		return append([]string{binary, "--quiet", "--cache-dir", filepath.Join(dir, "restic-cache"), "--repo", repository}, args...)
	}
	back := filepath.Join(dir, "back-restic")
	return tool{
		env:     []string{"RESTIC_PASSWORD=x"},
		prepare: with("init"),
		backup:  func(string) []string { return with("backup", source) },
		verify:  with("check", "--read-data"),
		restore: with("restore", "latest", "--target", back),
		target:  back,
	}
}

// kopia is the tool with a repository anywhere. It syncs nothing.
func kopia(binary, dir, source string, repository ...string) tool {
	with := func(args ...string) []string {
		return append([]string{binary, "--config-file", filepath.Join(dir, "kopia.config"), "--log-dir", filepath.Join(dir, "kopia-log"), "--no-progress", "--log-level=error"}, args...)
	}
	back := filepath.Join(dir, "back-kopia")
	return tool{
		env:     []string{"KOPIA_PASSWORD=x", "KOPIA_CHECK_FOR_UPDATES=false", "KOPIA_CACHE_DIRECTORY=" + filepath.Join(dir, "kopia-cache")},
		prepare: with(append([]string{"repository", "create"}, repository...)...),
		backup:  func(string) []string { return with("snapshot", "create", source) },
		verify:  with("snapshot", "verify", "--verify-files-percent=100"),
		restore: with("snapshot", "restore", source, back),
		target:  back,
	}
}

// synced has a program followed by a sync of the file system of dir.
func synced(dir string, args ...string) []string {
	return append([]string{"sh", "-c", `dir=$1; shift; "$@" && sync -f "$dir"`, "sh", dir}, args...)
}

// weigh notes what a tool has stored, after a step. Files with many names count once.
func (l *local) weigh(step string, side int, of tool) {
	l.t.Helper()
	du := func(args ...string) (n int64) {
		out, err := exec.CommandContext(l.t.Context(), "du", append(args, "-s", of.stored)...).Output()
		require.NoError(l.t, err)
		_, err = fmt.Sscan(string(out), &n)
		require.NoError(l.t, err)
		return n
	}
	l.disks[step+l.comparison.tools[side]] = disk{bytes: du("--block-size=1"), inodes: du("--inodes")}
}

// measured are the figures of a set.
func (l *local) measured(set dataset.Set, rounds int) []Figure {
	figures := l.figures()
	for i := range figures {
		f := &figures[i]
		f.Set, f.Files, f.Bytes, f.Rounds = string(set), l.stats.Files, l.stats.Bytes, rounds
		stored := l.disks[f.Step+f.Tool]
		f.DiskMiB, f.Inodes = stored.bytes>>20, stored.inodes
	}
	return figures
}

// change writes over each hundredth file with as much that does not compress, other each time, and returns how many those were.
func change(t *testing.T, dir string, times int) (changed int) {
	t.Helper()
	n := 0
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		if n++; n%100 != 0 {
			return nil
		}
		changed++
		info, err := entry.Info()
		if err != nil {
			return err
		}
		var seed [32]byte
		binary.LittleEndian.PutUint64(seed[:], uint64(times))
		binary.LittleEndian.PutUint64(seed[8:], uint64(n))
		content := make([]byte, info.Size())
		_, _ = rand.NewChaCha8(seed).Read(content) // never returns an error
		return os.WriteFile(path, content, info.Mode())
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
