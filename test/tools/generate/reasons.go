package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The parts of a reason's comment begin lines with these.
const (
	doPrefix      = "Do: "
	restorePrefix = "In a restore: "
)

var (
	backupBlock  = regexp.MustCompile(`^Reasons of ([A-Z]\w+(?:(?:, | and )[A-Z]\w+)*)\.`)
	restoreBlock = regexp.MustCompile(`^Reasons of a ThreeScaleRestore\b`)
)

// advice is what a reason means and what its reader does about it.
type advice struct{ means, todo string }

// reason is a constant of the API.
type reason struct {
	name string
	// conditions of a ThreeScaleBackup that can have it, and the place of the
	// block that names them; none for a reason of restores only.
	conditions []string
	block      int
	// backup and restore say what it means to each; nil where it does not occur.
	backup, restore *advice
}

// readReasons reads the constants of a package whose names begin with Reason.
func readReasons(dir string) ([]reason, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, fmt.Errorf("cannot list %q: %w", dir, err)
	}
	var out []reason
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("cannot read %q: %w", file, err)
		}
		reasons, err := parseReasons(string(source))
		if err != nil {
			return nil, fmt.Errorf("cannot read reasons of %q: %w", file, err)
		}
		out = append(out, reasons...)
	}
	return out, nil
}

// parseReasons reads those of one file.
func parseReasons(source string) ([]reason, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), "", source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var out []reason
	for i, declaration := range parsed.Decls {
		block, ok := declaration.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		for _, spec := range block.Specs {
			constant := spec.(*ast.ValueSpec)
			if !strings.HasPrefix(constant.Names[0].Name, "Reason") {
				continue
			}
			r, err := reasonOf(constant, block.Doc.Text())
			if err != nil {
				return nil, fmt.Errorf("cannot read %s: %w", constant.Names[0].Name, err)
			}
			r.block = i
			out = append(out, r)
		}
	}
	return out, nil
}

func reasonOf(constant *ast.ValueSpec, block string) (reason, error) {
	literal, ok := constant.Values[0].(*ast.BasicLit)
	if !ok {
		return reason{}, fmt.Errorf("its value is not written out")
	}
	value, err := strconv.Unquote(literal.Value)
	if err != nil {
		return reason{}, err
	}
	r := reason{name: value}
	first, second, err := parseComment(constant.Names[0].Name, constant.Doc.Text())
	if err != nil {
		return reason{}, err
	}
	switch match := backupBlock.FindStringSubmatch(block); {
	case match != nil:
		r.conditions = regexp.MustCompile(`, | and `).Split(match[1], -1)
		r.backup, r.restore = first, second
	case restoreBlock.MatchString(block) && second != nil:
		return reason{}, fmt.Errorf("its block is of restores already, which %q says again", restorePrefix)
	case restoreBlock.MatchString(block):
		r.restore = first
	default:
		return reason{}, fmt.Errorf("its block does not say whose reasons they are")
	}
	return r, nil
}

// parseComment reads a comment's one or two advices.
func parseComment(name, text string) (first, second *advice, err error) {
	meaning, ok := strings.CutPrefix(text, name+": ")
	if !ok {
		return nil, nil, fmt.Errorf("its comment does not begin with %q", name+": ")
	}
	common, own, both := strings.Cut("\n"+meaning, "\n"+restorePrefix)
	if first, err = parseAdvice(common); err != nil {
		return nil, nil, err
	}
	if both {
		second, err = parseAdvice(own)
	}
	return first, second, err
}

func parseAdvice(text string) (*advice, error) {
	parts := strings.Split(text, "\n"+doPrefix)
	if len(parts) != 2 {
		return nil, fmt.Errorf("%d lines of its comment begin with %q, and not one each", len(parts)-1, doPrefix)
	}
	return &advice{means: oneLine(parts[0]), todo: oneLine(parts[1])}, nil
}

// oneLine makes a cell of a table.
func oneLine(text string) string {
	return strings.ReplaceAll(strings.TrimSuffix(strings.Join(strings.Fields(text), " "), "."), "|", `\|`)
}

// writeReasons puts the tables between the marks of a document.
func writeReasons(file, api, failuresFile string) error {
	reasons, err := readReasons(api)
	if err != nil {
		return err
	}
	failures, err := readFailures(failuresFile)
	if err != nil {
		return err
	}
	exitCodes, err := exitCodeTable(failures)
	if err != nil {
		return err
	}
	document, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", file, err)
	}
	text := string(document)
	for of, table := range map[string]string{"reasons of a backup": backupTable(reasons), "reasons of a restore": restoreTable(reasons), "exit codes of a pod": exitCodes} {
		if text, err = replaceMarked(text, of, table); err != nil {
			return fmt.Errorf("cannot write the %s into %q: %w", of, file, err)
		}
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return fmt.Errorf("cannot write %q: %w", file, err)
	}
	return nil
}

// replaceMarked replaces what stands between a mark and the next end.
func replaceMarked(text, of, with string) (string, error) {
	begin, end := fmt.Sprintf("<!-- generated: %s, by make generate -->\n", of), "<!-- end -->\n"
	before, rest, ok := strings.Cut(text, begin)
	if !ok {
		return "", fmt.Errorf("there is no line %q", strings.TrimSpace(begin))
	}
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("there is no line %q behind it", strings.TrimSpace(end))
	}
	return before + begin + with + end + after, nil
}

// backupTable has the conditions in the order of their blocks.
func backupTable(reasons []reason) string {
	var out strings.Builder
	out.WriteString("| condition | reason | what it means | what to do |\n|---|---|---|---|\n")
	sorted := slices.SortedFunc(slices.Values(reasons), func(a, b reason) int {
		return cmp.Or(cmp.Compare(a.block, b.block), strings.Compare(a.name, b.name))
	})
	for _, r := range sorted {
		if r.backup != nil {
			fmt.Fprintf(&out, "| `%s` | `%s` | %s | %s |\n", strings.Join(r.conditions, "`, `"), r.name, r.backup.means, r.backup.todo)
		}
	}
	return out.String()
}

func restoreTable(reasons []reason) string {
	var out strings.Builder
	out.WriteString("| reason | what it means | what to do |\n|---|---|---|\n")
	sorted := slices.SortedFunc(slices.Values(reasons), func(a, b reason) int { return strings.Compare(a.name, b.name) })
	for _, r := range sorted {
		if r.restore != nil {
			fmt.Fprintf(&out, "| `%s` | %s | %s |\n", r.name, r.restore.means, r.restore.todo)
		}
	}
	return out.String()
}
