package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// block is a file with one block of constants.
func block(comment, constants string) string {
	return "package p\n\n" + comment + "\nconst (\n" + constants + ")\n"
}

const inGeneral = `	// ReasonIO: reading failed,
	// or writing.
	// Do: look at a | b.
	// And wait.
	ReasonIO = "IO"
`

const inBoth = `	// ReasonIO: a backup failed.
	// Do: this.
	// In a restore: a restore
	// failed.
	// Do: that.
	ReasonIO = "IO"
`

func TestParseReasons(t *testing.T) {
	general := &advice{`reading failed, or writing`, `look at a \| b. And wait`}
	for name, tc := range map[string]struct {
		why, source string
		want        []reason
	}{
		"Backup": {
			"the block names the condition", block("// Reasons of Warning.", inGeneral),
			[]reason{{name: "IO", conditions: []string{"Warning"}, backup: general}},
		},
		"Conditions": {
			"two can have the same", block("// Reasons of Ready, Verified and Warning.", inGeneral),
			[]reason{{name: "IO", conditions: []string{"Ready", "Verified", "Warning"}, backup: general}},
		},
		"Restore": {
			"it has three conditions, which have the same reasons", block("// Reasons of a ThreeScaleRestore, such\n// as this.", inGeneral),
			[]reason{{name: "IO", restore: general}},
		},
		"Both": {
			"a backup's reader and a restore's do different things", block("// Reasons of Warning.", inBoth),
			[]reason{{name: "IO", conditions: []string{"Warning"}, backup: &advice{"a backup failed", "this"}, restore: &advice{"a restore failed", "that"}}},
		},
		"Others": {
			"types of conditions are no reasons", block("// Condition types.", "\t// ConditionReady is True.\n\tConditionReady = \"Ready\"\n"), nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseReasons(tc.source)
			require.NoError(t, err, tc.why)
			assert.Equal(t, tc.want, got, tc.why)
		})
	}
}

func TestParseReasonsRefuses(t *testing.T) {
	const backup = "// Reasons of Warning."
	for name, tc := range map[string]struct{ why, source, want string }{
		"NoComment": {"nobody would be told", block(backup, "\tReasonIO = \"IO\"\n"), `its comment does not begin with "ReasonIO: "`},
		"NoDo":      {"nobody would know what to do", block(backup, "\t// ReasonIO: it failed.\n\tReasonIO = \"IO\"\n"), "0 lines"},
		"TwoDo":     {"the second belongs to nothing", block(backup, "\t// ReasonIO: it failed.\n\t// Do: a.\n\t// Do: b.\n\tReasonIO = \"IO\"\n"), "2 lines"},
		"NoDoInRestore": {
			"likewise", block(backup, "\t// ReasonIO: it failed.\n\t// Do: a.\n\t// In a restore: b.\n\tReasonIO = \"IO\"\n"), "0 lines",
		},
		"NoBlock":     {"it would be in no table", block("", inGeneral), "its block does not say whose reasons they are"},
		"OtherBlock":  {"likewise", block("// Reasons why.", inGeneral), "its block does not say whose reasons they are"},
		"RestoreOnly": {"a restore would have it twice", block("// Reasons of a ThreeScaleRestore.", inBoth), "says again"},
		"NoLiteral":   {"its value is not known here", block(backup, "\t// ReasonIO: it failed.\n\t// Do: a.\n\tReasonIO = meta.IO\n"), "its value is not written out"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseReasons(tc.source)
			require.ErrorContains(t, err, tc.want, tc.why)
			assert.ErrorContains(t, err, "ReasonIO", "it says where")
		})
	}
}

func TestWriteReasons(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	write("a.go", block("// Reasons of Warning.", inBoth+"\t// ReasonA: first.\n\t// Do: nothing.\n\tReasonA = \"A\"\n"))
	write("a_test.go", "no Go at all")
	const backups, restores = "<!-- generated: reasons of a backup, by make generate -->\n", "<!-- generated: reasons of a restore, by make generate -->\n"
	const exitCodes = "<!-- generated: exit codes of a pod, by make generate -->\n"
	failures := write("failures.json", `[{"Reason":"IO","ExitCode":74,"Retry":"AtOnce"}]`)
	document := write("README.md", "before\n"+backups+"old\n<!-- end -->\nbetween\n"+restores+"<!-- end -->\nafter\n"+exitCodes+"<!-- end -->\n")
	want := "before\n" + backups +
		"| condition | reason | what it means | what to do |\n|---|---|---|---|\n" +
		"| `Warning` | `A` | first | nothing |\n| `Warning` | `IO` | a backup failed | this |\n" +
		"<!-- end -->\nbetween\n" + restores +
		"| reason | what it means | what to do |\n|---|---|---|\n| `IO` | a restore failed | that |\n" +
		"<!-- end -->\nafter\n" + exitCodes +
		"| exit code | reason | another pod of the Job | a restore |\n|---|---|---|---|\n" +
		"| 74 | `IO` | yes, up to `spec.job.backoffLimit` times | it is tried again after `retryInterval` |\n" +
		"<!-- end -->\n"
	for range 2 { // the second changes nothing
		require.NoError(t, writeReasons(document, dir, failures))
		got, err := os.ReadFile(document)
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
	for name, text := range map[string]string{"NoMark": "<!-- end -->\n", "NoEnd": backups + restores} {
		t.Run(name, func(t *testing.T) {
			assert.ErrorContains(t, writeReasons(write(name, text), dir, failures), "there is no line")
		})
	}
}
