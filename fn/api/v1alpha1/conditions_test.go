package v1alpha1

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReasons: users look for them, so each is a word of its own that is called
// as its constant, with a sentence that says what it means. What the comments of
// reasons hold beside that, `make generate` sees to.
func TestReasons(t *testing.T) {
	words := regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	seen := map[string]bool{}
	for _, name := range []string{"conditions.go", "restore_reasons.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		require.NoError(t, err)
		for _, constant := range constants(file) {
			name := constant.Names[0].Name
			value, err := strconv.Unquote(constant.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			assert.Regexp(t, words, value)
			assert.Equal(t, value, strings.TrimPrefix(strings.TrimPrefix(name, "Reason"), "Condition"))
			assert.True(t, strings.HasPrefix(constant.Doc.Text(), name), "%s has no sentence", name)
			assert.False(t, seen[name], "%s twice", name)
			seen[name] = true
		}
	}
	assert.Greater(t, len(seen), 80)
}

func constants(file *ast.File) []*ast.ValueSpec {
	var out []*ast.ValueSpec
	for _, declaration := range file.Decls {
		block, ok := declaration.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range block.Specs {
			if constant, ok := spec.(*ast.ValueSpec); ok {
				out = append(out, constant)
			}
		}
	}
	return out
}

// TestReasonsOfFlux: those that a restore shares with all objects of Flux are
// called as there.
func TestReasonsOfFlux(t *testing.T) {
	assert.Equal(t, meta.ProgressingReason, ReasonProgressing)
	assert.Equal(t, meta.ProgressingWithRetryReason, ReasonProgressingWithRetry)
}
