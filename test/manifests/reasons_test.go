package manifests_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sources parses the Go files of a package of fn, without its tests.
func sources(t *testing.T, name string) []*ast.File {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "fn", filepath.FromSlash(name), "*.go"))
	require.NoError(t, err)
	var out []*ast.File
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		out = append(out, parsed)
	}
	require.NotEmpty(t, out, name)
	return out
}

// reasonConstants are the values of the constants of a package whose names
// begin with Reason.
func reasonConstants(t *testing.T, name string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, file := range sources(t, name) {
		ast.Inspect(file, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if !ok || len(spec.Values) != len(spec.Names) {
				return true
			}
			for i, constant := range spec.Names {
				literal, isLiteral := spec.Values[i].(*ast.BasicLit)
				if !isLiteral || !strings.HasPrefix(constant.Name, "Reason") {
					continue
				}
				value, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				out[constant.Name] = value
			}
			return true
		})
	}
	require.NotEmpty(t, out, name)
	return out
}

// restoreReasons are all reasons that the conditions of a restore can have:
// those that its core, its adapter and the mover speak of, and those of the
// errors that the adapter hands on.
func restoreReasons(t *testing.T) []string {
	t.Helper()
	of := reasonConstants(t, "api/v1alpha1")
	found := map[string]bool{
		meta.ProgressingReason:          true,
		meta.ProgressingWithRetryReason: true,
	}
	for _, value := range reasonConstants(t, "overlay") {
		found[value] = true
	}
	for _, name := range []string{"restore", "controller", "mover"} {
		for _, file := range sources(t, name) {
			ast.Inspect(file, func(node ast.Node) bool {
				selector, ok := node.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if from, isName := selector.X.(*ast.Ident); isName && from.Name == "v1alpha1" {
					if value, isReason := of[selector.Sel.Name]; isReason {
						found[value] = true
					}
				}
				return true
			})
		}
	}
	var out []string
	for value := range found {
		out = append(out, value)
	}
	slices.Sort(out)
	return out
}

// documentedReasons are those in the first column of the README's table.
func documentedReasons(t *testing.T) []string {
	t.Helper()
	_, section, found := strings.Cut(string(read(t, "README.md")), "\n### Reasons\n")
	require.True(t, found, "the README has the section Reasons")
	section, _, _ = strings.Cut(section, "\n#")
	var out []string
	for line := range strings.SplitSeq(section, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 2 {
			continue
		}
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			out = append(out, name[1])
		}
	}
	slices.Sort(out)
	return out
}

// TestREADMEHasReasons holds the README's table to the reasons that the code
// speaks of: each is there, once, and no other.
func TestREADMEHasReasons(t *testing.T) {
	assert.Equal(t, restoreReasons(t), documentedReasons(t))
}

// TestReasonsAreUsed: a reason of restores that nothing leads to would be
// documented in vain.
func TestReasonsAreUsed(t *testing.T) {
	used := restoreReasons(t)
	for _, name := range []string{"restore_conditions.go", "restore_reasons.go"} {
		data := string(read(t, "fn", "api", "v1alpha1", name))
		for constant, value := range reasonConstants(t, "api/v1alpha1") {
			if strings.Contains(data, "\t"+constant+" = ") {
				assert.Contains(t, used, value, "%s of %s", constant, name)
			}
		}
	}
}

// TestREADMELinks: what the README points to is there.
func TestREADMELinks(t *testing.T) {
	for _, document := range []string{"README.md", "examples/README.md"} {
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllStringSubmatch(string(read(t, document)), -1) {
			_, err := os.Stat(filepath.Join(root, filepath.Dir(document), filepath.FromSlash(link[1])))
			assert.NoError(t, err, "%s points to %s", document, link[1])
		}
	}
}
