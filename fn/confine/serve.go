package confine

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"
)

// Exit codes of a child.
const (
	exitRefused     = 64 // it was not started as Run does
	exitOutOfTime   = 75
	exitOutOfMemory = 76
)

// maxStack bounds one goroutine's stack, in bytes: recursion without end ends there.
const maxStack = 32 << 20

// spare is how long before the end of its time a child's context ends, so that it can say so itself.
const spare = 5 * time.Second

// arguments tell a child its limits.
func (l Limits) arguments() []string {
	return []string{fmt.Sprintf("--memory=%d", l.Memory), fmt.Sprintf("--time=%s", l.Time)}
}

// Serve is all that a child does: it confines itself, reads one request, does it, and writes the answer. It returns the exit code of
// the process. args are those that Run added.
func Serve[Request, Answer any](args []string, in io.Reader, out io.Writer, do func(context.Context, Request) Answer) int {
	limits, err := parse(args)
	if err == nil {
		err = limits.apply()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot confine this process:", err)
		return exitRefused
	}
	ctx, cancel := context.WithTimeout(context.Background(), max(limits.Time-spare, limits.Time/2))
	defer cancel()
	time.AfterFunc(limits.Time, func() { os.Exit(exitOutOfTime) }) // also without a parent
	go limits.watch()
	var request Request
	if err := json.NewDecoder(in).Decode(&request); err != nil {
		fmt.Fprintln(os.Stderr, "cannot read the request of a child process") // its values are secret
		return exitRefused
	}
	if err := json.NewEncoder(out).Encode(do(ctx, request)); err != nil {
		fmt.Fprintln(os.Stderr, "cannot write the answer of a child process")
		return exitRefused
	}
	return 0
}

func parse(args []string) (Limits, error) {
	var l Limits
	flags := flag.NewFlagSet("child", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Int64Var(&l.Memory, "memory", 0, "")
	flags.DurationVar(&l.Time, "time", 0, "")
	if err := flags.Parse(args); err != nil {
		return l, err
	}
	if l.Memory <= 0 || l.Time <= 0 {
		return l, errors.New("it needs --memory and --time")
	}
	return l, nil
}

// apply bounds this process.
func (l Limits) apply() error {
	debug.SetMaxStack(maxStack)
	debug.SetGCPercent(25)             // what it holds is small against what it makes, and memory is dearer than time
	debug.SetMemoryLimit(l.Memory / 2) // collects garbage long before it has to end
	return l.confine()
}

// watchEvery is how often a child looks at what it uses.
const watchEvery = 5 * time.Millisecond

// watch ends this process when it uses more private memory than it may, of which the kernel's limits let some more pass.
func (l Limits) watch() {
	for range time.Tick(watchEvery) {
		if used, err := privateMemory(); err == nil && used > l.Memory {
			os.Exit(exitOutOfMemory)
		}
	}
}
