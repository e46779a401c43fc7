package job_test

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
)

// TestFailures: a Job knows of a failure its exit code alone, so that one exit code
// cannot stand for some that go by themselves and for others.
func TestFailures(t *testing.T) {
	failures := job.Failures()
	assert.True(t, slices.IsSortedFunc(failures, func(a, b job.Failure) int {
		return cmp.Or(cmp.Compare(a.ExitCode, b.ExitCode), strings.Compare(a.Reason, b.Reason))
	}))
	seen, ends := map[string]bool{}, map[int]bool{}
	for _, f := range failures {
		assert.False(t, seen[f.Reason], "%s twice", f.Reason)
		seen[f.Reason] = true
		assert.Contains(t, []job.Retry{job.RetryAtOnce, job.RetryLater, job.RetryOnRequest}, f.Retry, f.Reason)
		end, known := ends[f.ExitCode]
		if known {
			assert.Equal(t, end, f.Retry != job.RetryAtOnce, "exit code %d of %s", f.ExitCode, f.Reason)
		}
		ends[f.ExitCode] = f.Retry != job.RetryAtOnce
		assert.Equal(t, ends[f.ExitCode], slices.Contains(job.FinalExitCodes(), int32(f.ExitCode)), f.Reason)
		assert.Equal(t, f, job.FailureOf(f.Reason))
		for _, advice := range []string{f.BackupAdvice, f.RestoreAdvice, f.FileBucketAdvice} {
			assert.Equal(t, strings.Trim(advice, " .;"), advice, "it is a part of a sentence")
		}
	}
	assert.Equal(t, []int32{job.ExitUsage, job.ExitIntegrity, job.ExitCannotCreate, job.ExitNoPermission}, job.FinalExitCodes())
}

func TestFailureOfAnything(t *testing.T) {
	for _, reason := range []string{"", "Failed", "anything"} {
		assert.Equal(t, job.Failure{Reason: reason, ExitCode: job.ExitIO, Retry: job.RetryAtOnce}, job.FailureOf(reason))
	}
}

// TestFailuresAreReasons: the documents tell of each, as they do of all constants.
func TestFailuresAreReasons(t *testing.T) {
	documented := map[string]bool{}
	for _, name := range []string{"conditions.go", "restore_reasons.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), "../v1alpha1/"+name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if constant, ok := n.(*ast.ValueSpec); ok {
				documented[strings.TrimPrefix(constant.Names[0].Name, "Reason")] = true
			}
			return true
		})
	}
	for _, f := range job.Failures() {
		assert.True(t, documented[f.Reason], f.Reason)
	}
}
