package mover

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
)

var errBoom = errors.New("boom")

// TestReasonsAreKnownFailures: a reason that the table lacks would end with the exit
// code of any failure; one that no code gives is documented in vain.
func TestReasonsAreKnownFailures(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	given := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if selected, ok := n.(*ast.SelectorExpr); ok {
				if reason, ok := strings.CutPrefix(selected.Sel.Name, "Reason"); ok && reason != "" {
					given[reason] = true
				}
			}
			return true
		})
	}
	known := map[string]bool{}
	for _, f := range job.Failures() {
		known[f.Reason] = true
	}
	assert.Equal(t, known, given)
}

// TestReasonOfABucketError: what an object store did not do is told apart from what is wrong with the volume.
func TestReasonOfABucketError(t *testing.T) {
	bucket := func(problem archive.BucketProblem, err error) error {
		return fmt.Errorf("cannot do it: %w", &archive.BucketError{Problem: problem, Err: err})
	}
	cases := map[string]struct {
		reason string
		err    error
		want   string
	}{
		"NotFound":     {"each problem is a reason of its own", bucket(archive.BucketNotFound, errBoom), v1alpha1.ReasonBucketNotFound},
		"Denied":       {"likewise", bucket(archive.BucketDenied, errBoom), v1alpha1.ReasonBucketDenied},
		"ClockSkew":    {"likewise", bucket(archive.BucketClockSkew, errBoom), v1alpha1.ReasonBucketClockSkew},
		"Untrusted":    {"likewise", bucket(archive.BucketUntrusted, errBoom), v1alpha1.ReasonBucketUntrusted},
		"Unreachable":  {"likewise", bucket(archive.BucketUnreachable, errBoom), v1alpha1.ReasonBucketUnreachable},
		"Full":         {"likewise", bucket(archive.BucketFull, errBoom), v1alpha1.ReasonBucketFull},
		"Incompatible": {"likewise", bucket(archive.BucketIncompatible, errBoom), v1alpha1.ReasonBucketIncompatible},
		"Other":        {"a problem that this package does not know yet is tried again", bucket("New", errBoom), v1alpha1.ReasonBucketUnreachable},
		"Owned":        {"the prefix is another volume's", fmt.Errorf("prefix: %w", archive.ErrOwned), v1alpha1.ReasonBucketOwned},
		"TakenOver":    {"the next copy goes on", fmt.Errorf("prefix: %w", archive.ErrTakenOver), v1alpha1.ReasonInterrupted},
		"TookTooLong":  {"a request has a deadline of its own", bucket(archive.BucketUnreachable, context.DeadlineExceeded), v1alpha1.ReasonBucketUnreachable},
		"Stopped":      {"the pod was told to end, which ended its requests", bucket(archive.BucketUnreachable, context.Canceled), v1alpha1.ReasonInterrupted},
		"NotOurs":      {"a permission of the object store is none of the volume's", bucket(archive.BucketDenied, fs.ErrPermission), v1alpha1.ReasonBucketDenied},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, Reason(tc.err), tc.reason)
			assert.Equal(t, tc.want, Reason(denied(tc.err)), "on a volume that is only read, too")
		})
	}
}

// TestReasonOfUnreadableFiles: a retry helps where nobody has to grant a right.
func TestReasonOfUnreadableFiles(t *testing.T) {
	cases := map[string]struct {
		reason string
		causes []error
		want   string
	}{
		"Denied": {"somebody must let the pod's user read it", []error{syscall.EACCES}, v1alpha1.ReasonUnreadable},
		"Stale":  {"a file server has lost it for now", []error{syscall.ESTALE}, v1alpha1.ReasonIO},
		"Failed": {"a disk may answer at the next try", []error{syscall.EIO, syscall.ESTALE}, v1alpha1.ReasonIO},
		"Both":   {"a right is missing all the same", []error{syscall.ESTALE, syscall.EPERM}, v1alpha1.ReasonUnreadable},
		"NoFile": {"a key that no file can have stays what it is", []error{errBoom}, v1alpha1.ReasonUnreadable},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			unreadable := &archive.UnreadableError{}
			unreadable.Entries = slices.Grow(unreadable.Entries, len(tc.causes))[:len(tc.causes)]
			for i, cause := range tc.causes {
				unreadable.Entries[i].Err = cause
			}
			assert.Equal(t, tc.want, Reason(fmt.Errorf("cannot back up: %w", unreadable)), tc.reason)
		})
	}
}
