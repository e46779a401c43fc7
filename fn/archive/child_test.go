package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/objectstore"
	"threescale.dev/backup/test/syscalls"
)

// childVariable tells the test binary to be a writer in a process of its own, one that can be killed.
const childVariable = "ARCHIVE_TEST_CHILD"

// childArgs is what such a writer writes.
type childArgs struct {
	Volume, Files, Run string
	Databases          string // a directory of dumps, if not empty
	Recipients         []string
	Workers            int
	ProveLinks         bool
	User               int         // drops root's rights, if not 0
	GroupZero          bool        // gives that user group 0, as OpenShift does, and the umask of a mover
	Deny               map[int]int // errors of system calls, both by number
	Target             string      // is restored into in place of writing a run, if not empty
	Existing           Existing
	Identity           string
	VerifyRuns         bool                // verifies the volume in place of writing a run
	Remove             []string            // are removed in place of writing a run, if there are any
	Replace            string              // name of a tree that is replaced by one that is not there, in place of writing a run
	Bucket             *objectstore.Server // is copied to, or removed from, if there is one
	Copy               []string            // runs that are copied
}

func TestMain(m *testing.M) {
	syscalls.Enter()
	if args := os.Getenv(childVariable); args != "" {
		os.Exit(child([]byte(args)))
	}
	syscall.Umask(0o022) // the modes of what tests make depend on it
	os.Exit(m.Run())
}

// childCommand returns the command of a writer, not started yet.
func childCommand(t *testing.T, args childArgs) *exec.Cmd {
	t.Helper()
	data, err := json.Marshal(args)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = []string{childVariable + "=" + string(data)}
	return cmd
}

// child writes a run and prints what became of it.
func child(data []byte) int {
	var args childArgs
	if err := json.Unmarshal(data, &args); err != nil {
		fmt.Println(err)
		return 2
	}
	if args.User != 0 {
		group := args.User
		if args.GroupZero {
			group = 0
			syscall.Umask(0o007)
		}
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(group), syscall.Setuid(args.User)); err != nil {
			fmt.Println(err)
			return 2
		}
	}
	if err := deny(args.Deny); args.Deny != nil && err != nil {
		fmt.Println(err)
		return 2
	}
	v, err := OpenVolume(args.Volume)
	if err != nil {
		fmt.Println(err)
		return 2
	}
	if args.Bucket != nil {
		return childBucket(v, args)
	}
	if args.Target != "" {
		return childRestore(v, args)
	}
	if args.VerifyRuns {
		return childVerifyRuns(v, args)
	}
	if len(args.Remove) > 0 {
		return childRemove(v, args.Remove)
	}
	if args.Replace != "" {
		return childReplace(v, args)
	}
	opts := WriteOptions{
		Run: args.Run, Holder: "child", Objects: testObjects(), Files: args.Files, Recipients: args.Recipients, Workers: args.Workers,
		ProveLinks: args.ProveLinks, Now: clock(),
	}
	if args.Databases != "" {
		opts.Databases, opts.Dumps = args.Databases, testDumps()
	}
	result, err := v.Write(context.Background(), opts)
	var unreadable *UnreadableError
	switch {
	case errors.As(err, &unreadable):
		var paths []string
		for _, e := range unreadable.Entries {
			paths = append(paths, e.Path)
		}
		fmt.Println("unreadable:", strings.Join(paths, " "))
		fmt.Println(err)
		return 1
	case err != nil:
		fmt.Println(err)
		return 1
	}
	fmt.Println("written", result.Manifest.Totals.Files, "files")
	return 0
}

// childRestore restores a run and prints what became of it.
func childRestore(v *Volume, args childArgs) int {
	r, err := v.OpenRun(context.Background(), args.Run)
	if err != nil {
		fmt.Println(err)
		return 2
	}
	opts := RestoreOptions{Existing: args.Existing, Workers: args.Workers}
	if args.Identity != "" {
		key, err := age.ParseX25519Identity(args.Identity)
		if err != nil {
			fmt.Println(err)
			return 2
		}
		opts.Identities = []age.Identity{key}
	}
	result, err := r.Restore(context.Background(), args.Target, opts)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for _, warning := range result.Warnings {
		fmt.Println("warning:", warning)
	}
	fmt.Println("restored", result.Files, "files")
	return 0
}

// childBucket copies runs to a bucket, or removes them from it, and prints what became of it.
func childBucket(v *Volume, args childArgs) int {
	b, err := OpenBucket(context.Background(), bucketOptions(args.Bucket, bucketPrefix))
	if err != nil {
		fmt.Println(err)
		return 2
	}
	if len(args.Copy) > 0 {
		_, err = b.Copy(context.Background(), v, CopyOptions{Runs: args.Copy, Owner: testOwner, Workers: args.Workers})
	} else {
		_, err = b.Remove(context.Background(), args.Remove)
	}
	if err != nil && !errors.Is(err, ErrRunNotFound) { // an earlier child had removed it
		fmt.Println(err)
		return 1
	}
	fmt.Println("done")
	return 0
}

// childRemove removes runs and prints what became of them.
func childRemove(v *Volume, runs []string) int {
	result, err := v.Remove(context.Background(), runs, RemoveOptions{Holder: "child"})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for _, kept := range result.Kept {
		if !errors.Is(kept.Err, ErrRunNotFound) { // else an earlier child had removed it
			fmt.Println(kept.Err)
			return 1
		}
	}
	for _, run := range result.Runs {
		fmt.Println("removed", run, result.Warnings)
	}
	return 0
}

// childVerifyRuns verifies all runs and prints what became of it.
func childVerifyRuns(v *Volume, args childArgs) int {
	report, err := v.VerifyRuns(context.Background(), VerifyRunsOptions{Workers: args.Workers})
	if err != nil {
		fmt.Println(err)
		return 2
	}
	if err := report.Err(); err != nil {
		fmt.Println(err)
		for _, damage := range report.Damages() {
			fmt.Println(damage)
		}
		return 1
	}
	fmt.Println("verified", len(report.Runs), "runs,", report.Files, "files")
	return 0
}

// childReplace replaces a tree by a partial one and prints what became of it.
func childReplace(v *Volume, args childArgs) int {
	w, err := newWriter(v, WriteOptions{Run: args.Run, Objects: testObjects(), Now: clock()})
	if err == nil {
		err = w.open()
	}
	if err != nil {
		fmt.Println(err)
		return 2
	}
	if err := w.storage.replaceTree(context.Background(), args.Replace); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, cancel
}
