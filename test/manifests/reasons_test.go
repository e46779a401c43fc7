package manifests_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// sources parses the Go files of a package of fn and of those inside it, without
// their tests.
func sources(t *testing.T, name string) []*ast.File {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "fn", filepath.FromSlash(name), "*.go"))
	require.NoError(t, err)
	inside, err := filepath.Glob(filepath.Join(root, "fn", filepath.FromSlash(name), "internal", "*", "*.go"))
	require.NoError(t, err)
	var out []*ast.File
	for _, file := range append(files, inside...) {
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

// led collects the reasons of the API that code leads to: all of which it
// speaks, but those that it only compares with.
type led struct {
	values map[string]string // of the constants
	found  map[string]bool
}

// Visit implements ast.Visitor.
func (l *led) Visit(node ast.Node) ast.Visitor {
	switch node := node.(type) {
	case *ast.CaseClause:
		for _, statement := range node.Body {
			ast.Walk(l, statement)
		}
		return nil
	case *ast.BinaryExpr:
		if node.Op == token.EQL || node.Op == token.NEQ {
			return nil
		}
	case *ast.SelectorExpr:
		if from, isName := node.X.(*ast.Ident); isName && from.Name == "v1alpha1" {
			if value, isReason := l.values[node.Sel.Name]; isReason {
				l.found[value] = true
			}
		}
	}
	return l
}

// ledTo are the reasons that the code of packages leads to, sorted.
func ledTo(t *testing.T, packages ...string) []string {
	t.Helper()
	l := &led{values: reasonConstants(t, "api/v1alpha1"), found: map[string]bool{}}
	for _, name := range packages {
		for _, file := range sources(t, name) {
			ast.Walk(l, file)
		}
	}
	return slices.Sorted(maps.Keys(l.found))
}

// TestLedTo: a reason that code only compares with is not one that it gives.
func TestLedTo(t *testing.T) {
	for name, tc := range map[string]struct {
		reason, body string
		want         bool
	}{
		"Given":    {"it is in a condition", `give(v1alpha1.ReasonIO)`, true},
		"InCase":   {"it is given where another was found", `switch x { case 1: give(v1alpha1.ReasonIO) }`, true},
		"Case":     {"what was found was given elsewhere", `switch x { case v1alpha1.ReasonIO: give("") }`, false},
		"Equal":    {"likewise", `if x == v1alpha1.ReasonIO && y { give("") }`, false},
		"Unequal":  {"likewise", `if x != v1alpha1.ReasonIO { give("") }`, false},
		"Another":  {"it is of another package", `give(overlay.ReasonIO)`, false},
		"Constant": {"it is no reason", `give(v1alpha1.KindBackup)`, false},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc f() { "+tc.body+" }", parser.SkipObjectResolution)
			require.NoError(t, err)
			l := &led{values: map[string]string{"ReasonIO": "IO"}, found: map[string]bool{}}
			ast.Walk(l, file)
			assert.Equal(t, tc.want, l.found["IO"], tc.reason)
		})
	}
}

// documentedReasons are those of a generated table of the reference, from the
// column that is called reason, in the order of the table.
func documentedReasons(t *testing.T, table string) []string {
	t.Helper()
	_, text, found := strings.Cut(string(read(t, "fn/api/v1alpha1/README.md")), "<!-- generated: "+table+", by make generate -->\n")
	require.True(t, found, "the reference has the table %q", table)
	text, _, found = strings.Cut(text, "<!-- end -->")
	require.True(t, found)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	column := slices.Index(strings.Split(lines[0], "|"), " reason ")
	require.Positive(t, column)
	var out []string
	for _, line := range lines[2:] {
		out = append(out, strings.Trim(strings.Split(line, "|")[column], " `"))
	}
	return out
}

// backupReasons are those that a backup's conditions can have. Of what the mover
// tells, only a restore can meet what is declared with the restore's reasons.
func backupReasons(t *testing.T) []string {
	t.Helper()
	own := ledTo(t, "compose", "function")
	declared := string(read(t, "fn", "api", "v1alpha1", "restore_reasons.go"))
	for _, reason := range ledTo(t, "mover") {
		if !strings.Contains(declared, strconv.Quote(reason)) && !slices.Contains(own, reason) {
			own = append(own, reason)
		}
	}
	slices.Sort(own)
	return own
}

// restoreReasons are those that a restore's conditions can have. Of what the mover tells, only a copy
// can meet what stands in the way of writing to a bucket.
func restoreReasons(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(ledTo(t, "restore", "controller", "mover"), func(reason string) bool {
		return reason == v1alpha1.ReasonBucketFull || reason == v1alpha1.ReasonBucketOwned
	})
}

// TestReferenceHasReasons holds the reference's tables to the reasons that the code
// leads to: each is there, once, and no other. So one that nothing leads to is
// not documented in vain, and none is found without an answer.
func TestReferenceHasReasons(t *testing.T) {
	for table, led := range map[string][]string{
		"reasons of a backup":  backupReasons(t),
		"reasons of a restore": restoreReasons(t),
	} {
		documented := documentedReasons(t, table)
		slices.Sort(documented)
		assert.Equal(t, led, documented, table)
	}
}

// TestReasonsAreUsed: a constant that nothing leads to would be documented in
// vain, or not at all.
func TestReasonsAreUsed(t *testing.T) {
	used := ledTo(t, "compose", "function", "restore", "controller", "mover")
	declared := slices.Sorted(maps.Values(reasonConstants(t, "api/v1alpha1")))
	assert.Equal(t, declared, used)
}
