package v1alpha1

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReasons: users look for them, so each is a word of its own that is called
// as its constant, with a sentence that says what it means.
func TestReasons(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "conditions.go", nil, parser.ParseComments)
	require.NoError(t, err)
	words := regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	seen := map[string]bool{}
	for _, declaration := range file.Decls {
		block, ok := declaration.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range block.Specs {
			constant, ok := spec.(*ast.ValueSpec)
			if !ok {
				continue
			}
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
	assert.Greater(t, len(seen), 40)
}
