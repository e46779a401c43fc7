package mover

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
)

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
