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
	"time"

	"github.com/stretchr/testify/require"
)

// childVariable tells the test binary to be a writer in a process of its own, one that can be killed.
const childVariable = "ARCHIVE_TEST_CHILD"

// childArgs is what such a writer writes.
type childArgs struct {
	Volume, Files, Run string
	Recipients         []string
	Workers            int
	User               int  // drops root's rights, if not 0
	Announce           bool // prints a line for each step of progress
}

func TestMain(m *testing.M) {
	if args := os.Getenv(childVariable); args != "" {
		os.Exit(child([]byte(args)))
	}
	os.Exit(m.Run())
}

// childCommand returns the command of a writer, not started yet.
func childCommand(t testing.TB, args childArgs) *exec.Cmd {
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
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(args.User), syscall.Setuid(args.User)); err != nil {
			fmt.Println(err)
			return 2
		}
	}
	v, err := OpenVolume(args.Volume)
	if err != nil {
		fmt.Println(err)
		return 2
	}
	opts := WriteOptions{
		Run: args.Run, Holder: "child", Objects: testObjects(), Files: args.Files, Recipients: args.Recipients, Workers: args.Workers, Now: time.Now,
	}
	if args.Announce {
		opts.Progress = func(p Progress) { fmt.Println(p.Phase, p.FilesDone) }
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
		return 1
	case err != nil:
		fmt.Println(err)
		return 1
	}
	fmt.Println("written", result.Manifest.Totals.Files, result.TreeShared)
	return 0
}
