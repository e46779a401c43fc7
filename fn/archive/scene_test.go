package archive

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/test/objectstore"
	"threescale.dev/backup/test/syscalls"
)

// points returns at how many points a test tries something: a few, or as many as `make prove` says.
func points(few int) int {
	if n, err := strconv.Atoi(os.Getenv("THREESCALE_BACKUP_PROVE")); err == nil {
		return n
	}
	return few
}

// proving reports whether `make prove` runs the test.
func proving() bool { return os.Getenv("THREESCALE_BACKUP_PROVE") != "" }

// scene is a volume with runs, and what else a process works on that ends where it should not.
type scene struct {
	*fixture
	target  string              // of a restore
	server  *objectstore.Server // of a bucket
	kept    map[string]string   // digests of the manifests of the runs that are whole whatever happens
	damaged string              // a run that was damaged before
	key     *age.X25519Identity // of an encrypted run
	lacks   bool                // the process was told that files are gone
}

// work is what a process does in a scene.
type work struct {
	reason  string
	arrange func(s *scene)                 // makes the scene, once
	begin   func(s *scene)                 // makes what cannot be copied of it; may be nil
	args    func(s *scene) childArgs       // the process
	check   func(s *scene)                 // what is true whenever it ended, beside what is true of all; may be nil
	again   func(s *scene, another bool)   // the next try, or another one, and what it leads to
	killed  func(s *scene)                 // what is true after a kill, and may not be after a power cut; may be nil
	numbers []int                          // the calls that count
	counts  func(s *scene, on string) bool // by what they are on; nil: those on what changes
}

// works are what the mover does.
func works() map[string]work {
	return map[string]work{
		"Backup":          backupWork(false),
		"BackupEncrypted": backupWork(true),
		"Mend":            mendWork(),
		"Prune":           pruneWork(),
		"Verify":          verifyWork(),
		"Copy":            copyWork(),
		"PruneBucket":     pruneBucketWork(),
		"Restore":         restoreWork(Fail, false),
		"RestoreOver":     restoreWork(Mirror, true),
	}
}

// place returns the directory that the process changes.
func (s *scene) place() string {
	if s.target != "" {
		return s.target
	}
	return s.root
}

// counted reports whether a call is a point of the work.
func (s *scene) counted(w work, call syscalls.Call) bool {
	if w.counts != nil {
		return w.counts(s, call.On)
	}
	return call.Changes() && below(call.On, s.place())
}

func below(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// newScene arranges a scene.
func newScene(t *testing.T, w work) *scene {
	t.Helper()
	s := &scene{fixture: newFixture(t), kept: make(map[string]string)}
	w.arrange(s)
	return s
}

// copied returns the scene with a copy of what the process changes.
func (s *scene) copied(t *testing.T, w work) *scene {
	t.Helper()
	dir := t.TempDir()
	shell(t, s.place(), "cp", "-a", ".", dir)
	return s.on(t, w, dir)
}

// on returns the scene with what the process changes in another directory, which has a copy of it.
func (s *scene) on(t *testing.T, w work, dir string) *scene {
	t.Helper()
	other := *s
	other.fixture = s.in(t)
	if s.target != "" {
		other.target = dir
	} else {
		other.root = dir
		var err error
		other.volume, err = OpenVolume(dir)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, other.volume.Close()) })
	}
	if w.begin != nil {
		w.begin(&other)
	}
	return &other
}

// encrypt has runs be encrypted from then on.
func (s *scene) encrypt() {
	s.t.Helper()
	s.key = identity(s.t)
	s.opts.Recipients = []string{s.key.Recipient().String()}
}

// identities returns what decrypts the runs of the scene.
func (s *scene) identities() []age.Identity {
	if s.key == nil {
		return nil
	}
	return []age.Identity{s.key}
}

// keep writes a run that has to be whole from then on.
func (s *scene) keep(run string) *Result {
	s.t.Helper()
	result := s.write(run)
	s.kept[run] = result.ManifestSHA256
	return result
}

// byHand proves all runs of a volume but $DAMAGED as the documents say, and tells the digests of their manifests.
const byHand = `set -e
for run in runs/*; do
  if [ ! -e "$run" ] || [ "$run" = "runs/$DAMAGED" ]; then continue; fi
  (cd "$run" && sha256sum --quiet --strict -c SHA256SUMS)
  for link in "$run/system-filestorage-pvc" "$run/databases"; do
    if [ ! -L "$link" ]; then continue; fi
    (
      cd -P "$link/.."
      sha256sum --quiet --strict -c SHA256SUMS
      [ "$(sha256sum MTREE SHA256SUMS | sha256sum | cut -d ' ' -f 1)" = "${PWD##*/}" ]
    )
  done
  sha256sum "$run/manifest.json"
done`

// whole proves with coreutils alone that all runs are whole, that none of those to be kept is missing or another, and
// that latest is one of them.
func (s *scene) whole() {
	s.t.Helper()
	there := make(map[string]string)
	for line := range strings.Lines(shell(s.t, s.root, "env", "DAMAGED="+s.damaged, "sh", "-c", byHand)) {
		digest, path, ok := strings.Cut(strings.TrimSpace(line), "  ")
		require.True(s.t, ok, "%q", line)
		there[filepath.Base(filepath.Dir(path))] = digest
	}
	for _, run := range slices.Sorted(maps.Keys(s.kept)) {
		require.Equal(s.t, s.kept[run], there[run], "run %q is lost", run)
	}
	latest, err := os.Readlink(s.path("latest"))
	require.NoError(s.t, err)
	if id := strings.TrimPrefix(latest, "runs/"); id != s.damaged {
		require.Contains(s.t, there, id, "latest is a whole run")
	}
}

// holds proves that a run that is there has all files of its source, and no other ones.
func (s *scene) holds(run string) {
	s.t.Helper()
	if _, err := os.Stat(s.path("runs", run)); err != nil {
		require.ErrorIs(s.t, err, os.ErrNotExist)
		return
	}
	r, err := s.volume.OpenRun(s.t.Context(), run)
	require.NoError(s.t, err)
	source, stored := filesBelow(s.t, s.files), restore(s.t, r, s.identities()...)
	require.NoError(s.t, r.Close())
	for _, path := range slices.Sorted(maps.Keys(source)) {
		content, ok := stored[path]
		require.True(s.t, ok || s.lacks, "%s is left out", path)
		require.True(s.t, !ok || content == source[path], "%s is not what it was", path)
	}
	require.LessOrEqual(s.t, len(stored), len(source))
}

// tidy proves that nothing is left of what was interrupted, and that latest is the given run.
func (s *scene) tidy(latest string) {
	s.t.Helper()
	trees := make(map[string]bool)
	runs, err := s.volume.Runs(s.t.Context())
	require.NoError(s.t, err)
	for _, run := range runs {
		require.Equal(s.t, Complete, run.State, run.ID)
		for _, tree := range run.Manifest.trees() {
			trees[tree.name] = true
		}
	}
	require.Len(s.t, ls(s.t, s.path("runs")), len(runs))
	require.ElementsMatch(s.t, slices.Collect(maps.Keys(trees)), ls(s.t, s.path("trees")))
	pointed, err := os.Readlink(s.path("latest"))
	require.NoError(s.t, err)
	require.Equal(s.t, "runs/"+latest, pointed)
}

// advance changes some files and dumps: some stay, some are new, some are gone, some have other content.
func (s *scene) advance(n int) {
	s.t.Helper()
	for i := range 12 {
		s.add("changing/"+itoa(i%4)+"/"+itoa(i), strings.Repeat(itoa(n), 100*n+i))
		at := epoch().Add(time.Duration(n) * time.Second)
		require.NoError(s.t, os.Chtimes(filepath.Join(s.files, "changing", itoa(i%4), itoa(i)), at, at))
	}
	require.NoError(s.t, os.RemoveAll(filepath.Join(s.files, "changing", itoa(n%4))))
	s.dumpSome("day " + itoa(n))
}

func (s *scene) someFiles() {
	s.t.Helper()
	dataset{tenants: 2, files: 12, days: 8, size: 40_000}.write(s.t, s.files)
	s.touch(".")
}

func backupWork(encrypted bool) work {
	return work{
		reason: "a run that has nothing but what is whole, and no earlier one that has not",
		arrange: func(s *scene) {
			if encrypted {
				s.encrypt()
			}
			s.someFiles()
			s.advance(1)
			s.keep("r1")
			s.advance(2)
		},
		args: func(s *scene) childArgs {
			return childArgs{Volume: s.root, Files: s.files, Databases: s.opts.Databases, Run: "r2", Recipients: s.opts.Recipients, Workers: 2}
		},
		check: func(s *scene) { s.whole(); s.holds("r2") },
		again: func(s *scene, another bool) {
			run := "r2"
			if another {
				run = "r3"
			}
			s.write(run)
			s.check(run)
		},
		numbers: syscalls.Changing(),
	}
}

// check proves the state after a run that was not interrupted.
func (s *scene) check(run string) {
	s.t.Helper()
	s.whole()
	s.holds(run)
	s.verify(run)
	s.tidy(run)
}

// mendWork replaces a tree of which a file is damaged.
func mendWork() work {
	return work{
		reason: "a tree that is replaced is there at all times",
		arrange: func(s *scene) {
			s.someFiles()
			s.keep("r0")
			s.advance(1)
			result := s.write("r1")
			flip(s.t, s.stored(result, "changing/0/4"))
			s.damaged = "r1"
			s.opts.ProveLinks = true
		},
		args: func(s *scene) childArgs {
			return childArgs{Volume: s.root, Files: s.files, Databases: s.opts.Databases, Run: "r2", Workers: 2, ProveLinks: true}
		},
		check: func(s *scene) { s.whole(); s.holds("r2") },
		again: func(s *scene, another bool) {
			run := "r2"
			if another {
				run = "r3"
			}
			s.write(run)
			s.damaged = ""
			s.check(run)
		},
		numbers: syscalls.Changing(),
	}
}

func pruneWork() work {
	return work{
		reason: "runs that go are whole or not there, and those that stay are whole",
		arrange: func(s *scene) {
			s.someFiles()
			for i, keep := range []bool{false, false, true, true} {
				s.advance(i + 1)
				result := s.write("r" + itoa(i))
				if keep {
					s.kept["r"+itoa(i)] = result.ManifestSHA256
				}
			}
		},
		args:  func(s *scene) childArgs { return childArgs{Volume: s.root, Remove: []string{"r0", "r1"}} },
		check: func(s *scene) { s.whole() },
		again: func(s *scene, _ bool) {
			s.write("r4") // which clears what was left when both had lost their names
			for _, run := range []string{"r0", "r1"} {
				if s.isThere(run) {
					s.remove(run)
				}
			}
			s.whole()
			require.Equal(s.t, []string{"r2", "r3", "r4"}, ls(s.t, s.path("runs")))
			s.tidy("r4")
		},
		numbers: syscalls.Changing(),
	}
}

func (s *scene) isThere(run string) bool {
	_, err := os.Stat(s.path("runs", run))
	return err == nil
}

func verifyWork() work {
	return work{
		reason:  "who only reads harms nothing",
		arrange: func(s *scene) { s.someFiles(); s.dumpSome("monday"); s.keep("r1"); s.advance(2); s.keep("r2") },
		args:    func(s *scene) childArgs { return childArgs{Volume: s.root, VerifyRuns: true, Workers: 2} },
		check:   func(s *scene) { s.whole() },
		again: func(s *scene, _ bool) {
			report, err := s.volume.VerifyRuns(s.t.Context(), VerifyRunsOptions{Expect: s.kept})
			require.NoError(s.t, err)
			require.NoError(s.t, report.Err())
		},
		numbers: syscalls.Reading(),
		counts:  func(s *scene, on string) bool { return below(on, s.root) },
	}
}

// onSocket is what calls are on that are parts of requests.
func onSocket(_ *scene, on string) bool { return strings.HasPrefix(on, "socket:") }

// exchange are the calls of requests and answers.
func exchange() []int { return []int{unix.SYS_WRITE, unix.SYS_READ} }

func copyWork() work {
	return work{
		reason: "a run in the bucket has all that it refers to",
		arrange: func(s *scene) {
			s.someFiles()
			s.dumpSome("monday")
			s.keep("r1")
			s.advance(2)
			s.keep("r2")
		},
		begin: func(s *scene) {
			s.server = objectstore.StartStandIn(s.t)
			copyRuns(s.t, s.bucket(), s.volume, "r1")
		},
		args: func(s *scene) childArgs {
			return childArgs{Volume: s.root, Bucket: s.server, Copy: []string{"r1", "r2"}, Workers: 2}
		},
		check: func(s *scene) {
			s.whole()
			require.NotEmpty(s.t, sound(s.t, s.bucket()))
		},
		again: func(s *scene, _ bool) {
			b := s.bucket()
			copyRuns(s.t, b, s.volume, "r1", "r2")
			require.Len(s.t, sound(s.t, b), 2)
			whole := reopen(s.t, objectstore.StartStandIn(s.t), bucketPrefix)
			copyRuns(s.t, whole, s.volume, "r1", "r2")
			assert.Equal(s.t, paths(s.t, whole), paths(s.t, b))
		},
		numbers: exchange(),
		counts:  onSocket,
	}
}

func (s *scene) bucket() *Bucket {
	s.t.Helper()
	return reopen(s.t, s.server, bucketPrefix)
}

func pruneBucketWork() work {
	return work{
		reason: "what is left in the bucket has all that it refers to",
		arrange: func(s *scene) {
			s.someFiles()
			for i := range 3 {
				s.advance(i + 1)
				s.keep("r" + itoa(i))
			}
		},
		begin: func(s *scene) {
			s.server = objectstore.StartStandIn(s.t)
			copyRuns(s.t, s.bucket(), s.volume, "r0", "r1", "r2")
		},
		args: func(s *scene) childArgs {
			return childArgs{Volume: s.root, Bucket: s.server, Remove: []string{"r0", "r1"}}
		},
		check: func(s *scene) {
			s.whole()
			require.NotEmpty(s.t, sound(s.t, s.bucket()))
		},
		again: func(s *scene, _ bool) {
			b := s.bucket()
			removeThere(s.t, b, "r0", "r1")
			require.Len(s.t, sound(s.t, b), 1)
			whole := reopen(s.t, objectstore.StartStandIn(s.t), bucketPrefix)
			copyRuns(s.t, whole, s.volume, "r2")
			assert.Equal(s.t, paths(s.t, whole), paths(s.t, b))
		},
		numbers: exchange(),
		counts:  onSocket,
	}
}

func restoreWork(existing Existing, encrypted bool) work {
	return work{
		reason: "a file that has its name is whole, and the next try goes on",
		arrange: func(s *scene) {
			if encrypted {
				s.encrypt()
			}
			s.someFiles()
			s.keep("r1")
			s.target = target(s.t)
			if existing == Mirror {
				shell(s.t, s.target, "sh", "-c", "mkdir -p other/dir tenant-000; echo x > other/dir/file; echo x > tenant-000/more")
			}
		},
		args: func(s *scene) childArgs {
			args := childArgs{Volume: s.root, Run: "r1", Target: s.target, Existing: existing, Workers: 2}
			if s.key != nil {
				args.Identity = s.key.String()
			}
			return args
		},
		check: func(s *scene) { s.whole() },
		killed: func(s *scene) {
			source := filesBelow(s.t, s.files)
			for path, content := range filesBelow(s.t, s.target) {
				if want, ok := source[path]; ok {
					require.Equal(s.t, want, content, "%q has its name and is not whole", path)
				}
			}
		},
		again: func(s *scene, _ bool) {
			s.restoreTo(s.target, "r1", existing, s.identities()...)
			require.Equal(s.t, listed(s.t, s.files), listed(s.t, s.target))
		},
		numbers: syscalls.Changing(),
	}
}
