package confine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Limits bound one child.
type Limits struct {
	// Memory in bytes that it may use beside the program itself.
	Memory int64
	// Time from its start to its answer.
	Time time.Duration
}

// The largest request and answer, and the largest file that a child may write, in bytes.
const (
	maxRequest = 32 << 20
	maxAnswer  = 16 << 20
	maxFile    = 1 << 30
)

// maxValue bounds what a value of an answer takes when it is decoded, beside its own text, in bytes: an empty object of three bytes may
// become a map, or a struct of many fields. An answer has no more values than fit into the memory that the child may use.
const maxValue = 1 << 10

// End tells how a child ended without an answer.
type End string

// The ends.
const (
	OutOfMemory End = "OutOfMemory" // it needed more memory, or a deeper stack, than it may have
	OutOfTime   End = "OutOfTime"   // it did not answer in time
	OutOfSpace  End = "OutOfSpace"  // it wrote too large a file, or too long an answer
	Crashed     End = "Crashed"     // anything else: a fault of this program
)

// DiedError says that a child ended without an answer. It holds nothing of what the child wrote, which may be secret.
type DiedError struct {
	End    End
	Limits Limits
}

func (e *DiedError) Error() string {
	switch e.End {
	case OutOfMemory:
		return fmt.Sprintf("it needs more than the %d MiB of memory that it may use", e.Limits.Memory>>20)
	case OutOfTime:
		return fmt.Sprintf("it did not end within the %s that it may take", e.Limits.Time)
	case OutOfSpace:
		return fmt.Sprintf("it is larger than the %d MiB that may be stored of it", maxFile>>20)
	default:
		return "the program that does it crashed"
	}
}

// Program starts a child: a program and its arguments, to which those of the limits are added. It must call [Serve].
type Program []string

// Run starts a child, hands it the request, and decodes its answer. Both are encoded as JSON; they travel through pipes and are in
// no argument or variable that another process may read. The error is a [*DiedError] if the child ended without an answer, and the
// context's if that ended first.
func (p Program) Run(ctx context.Context, limits Limits, request, answer any) error {
	encoded, err := json.Marshal(request)
	if err != nil {
		return errors.New("cannot encode the request of a child process") // its values are secret
	}
	if len(encoded) > maxRequest {
		return &DiedError{OutOfSpace, limits}
	}
	directory, err := scratch()
	if err != nil {
		return fmt.Errorf("cannot make a directory for a child process: %w", err)
	}
	defer func() { _ = os.RemoveAll(directory) }() // of one that was killed too; Sweep takes what is left
	timed, cancel := context.WithTimeout(ctx, limits.Time)
	defer cancel()
	command := exec.CommandContext(timed, p[0], slices.Concat(p[1:], limits.arguments())...)
	command.Env = append(environment(), "TMPDIR="+directory)
	command.Stdin = bytes.NewReader(encoded)
	said, complained := &bounded{left: maxAnswer}, &bounded{left: maxComplaint, drop: true}
	command.Stdout, command.Stderr = said, complained
	isolate(command)
	command.WaitDelay = time.Second
	runtime.LockOSThread() // the kernel ends a child with the thread that has started it
	err = command.Run()
	runtime.UnlockOSThread()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case timed.Err() != nil:
		return &DiedError{OutOfTime, limits}
	case said.left < 0:
		return &DiedError{OutOfSpace, limits}
	case err != nil && command.ProcessState == nil:
		return fmt.Errorf("cannot start a child process: %w", err)
	case err != nil:
		return &DiedError{endOf(command.ProcessState, string(complained.held)), limits}
	}
	if int64(values(said.held)) > limits.Memory/maxValue { // whoever has taken the child over chooses what it says
		return &DiedError{OutOfMemory, limits}
	}
	if err := json.Unmarshal(said.held, answer); err != nil {
		return &DiedError{Crashed, limits}
	}
	return nil
}

// values counts the values of a JSON text without decoding it: at least as many as there are.
func values(text []byte) int {
	count, inString, escaped := 1, false, false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = inString
		case c == '"':
			inString = !inString
		case !inString && (c == ',' || c == '{' || c == '['):
			count++
		}
	}
	return count
}

// maxComplaint is how much of a dying child's words is read: the Go runtime's come first.
const maxComplaint = 16 << 10

// endOf finds out why a process died.
func endOf(state *os.ProcessState, complaint string) End {
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(complaint, part) })
	}
	switch {
	case has("SIGXFSZ", "file too large"):
		return OutOfSpace
	case state.ExitCode() == exitOutOfTime:
		return OutOfTime
	case state.ExitCode() == exitOutOfMemory:
		return OutOfMemory
	case has("panic: ", "concurrent map", "all goroutines are asleep"):
		return Crashed
	// What the Go runtime throws beside those, it throws where it gets no memory, a thread or a deeper stack; and who is short of memory
	// may get no word out. The last is of a program that was built with the race detector.
	case has("fatal error: ", "ThreadSanitizer", "pthread_create failed", "failed to create new OS thread", "stack exceeds"), signaled(state):
		return OutOfMemory
	default:
		return Crashed
	}
}

// environment is what a child sees: how to get out of the cluster and whom to trust there, and no login.
func environment() []string {
	out := []string{"GOMAXPROCS=1", "GOTRACEBACK=none"}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "PATH", "HOME"} {
		if value, ok := os.LookupEnv(name); ok {
			out = append(out, name+"="+value)
		}
	}
	return out
}

// bounded holds so many bytes. It fails behind them, or drops what comes then.
type bounded struct {
	held []byte
	left int
	drop bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(p) > b.left && b.drop {
		b.held = append(b.held, p[:b.left]...)
		b.left = 0
		return len(p), nil
	}
	if b.left -= len(p); b.left < 0 {
		return 0, io.ErrShortBuffer
	}
	b.held = append(b.held, p...)
	return len(p), nil
}
