// Package exit says with which code of sysexits(3) a program ends, and what it
// prints of the error.
package exit

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"threescale.dev/backup/fn/api/job"
)

// codedError ends the process with a code.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// With wraps an error that ends the process with a code.
func With(code int, err error) error { return &codedError{code, err} }

// Usage wraps an error that a different command line or input mends.
func Usage(err error) error { return With(job.ExitUsage, err) }

// Code returns the code that an error was wrapped with, and what other says of
// one that was not.
func Code(err error, other func(error) int) int {
	var e *codedError
	if errors.As(err, &e) {
		return e.code
	}
	return other(err)
}

// Print prints an error, which may name what others wrote, and so is made
// printable. Its further lines are indented: none of them can look like an
// answer.
func Print(w io.Writer, err error) {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = job.Printable(line)
	}
	fmt.Fprintln(w, "error:", strings.Join(lines, "\n  "))
}
