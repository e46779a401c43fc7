// Package exit gives errors the exit code of the program, one of sysexits(3), and prints
// them.
package exit

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"threescale.dev/backup/fn/api/job"
)

// codedError is an error with the exit code of the process.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// With gives an error its exit code.
func With(code int, err error) error { return &codedError{code, err} }

// Usage gives an error the exit code of wrong usage or input.
func Usage(err error) error { return With(job.ExitUsage, err) }

// Code returns the exit code that an error was given, else what other returns for it.
func Code(err error, other func(error) int) int {
	if e, ok := errors.AsType[*codedError](err); ok {
		return e.code
	}
	return other(err)
}

// Print prints an error. The error may quote what others wrote, so it is made printable,
// and its lines after the first are indented: none of them can look like an answer.
func Print(w io.Writer, err error) {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = job.Printable(line)
	}
	fmt.Fprintln(w, "error:", strings.Join(lines, "\n  "))
}
