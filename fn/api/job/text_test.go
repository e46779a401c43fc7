package job_test

import (
	"encoding/json"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
)

func TestSentence(t *testing.T) {
	cases := map[string]struct{ reason, text, want string }{
		"Letter":    {"what Go's errors begin with", "cannot read", "Cannot read"},
		"Umlaut":    {"of more than one byte", "über", "Über"},
		"Longer":    {"its capital takes more bytes", "ɐ", "Ɐ"},
		"NoLetter":  {"there is no capital of it", "世界", "世界"},
		"Sentence":  {"it is one already", "Cannot", "Cannot"},
		"Empty":     {"nothing to begin with", "", ""},
		"Malformed": {"no answer could hold it", "\xc3", `\xc3`},
		"Inside":    {"likewise", "a\xff\xfeb", `A\xff\xfeb`},
		"Escape":    {"a run's name on a volume that others write to", "run \x1b[2J is damaged", `Run \x1b[2J is damaged`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, job.Sentence(tc.text), tc.reason)
		})
	}
}

func FuzzSentence(f *testing.F) {
	f.Add("über")
	f.Add("\xc3(")
	f.Fuzz(func(t *testing.T, text string) {
		sentence := job.Sentence(text)
		requirePrintable(t, sentence)
		require.Equal(t, sentence, job.Sentence(sentence))
	})
}

// requirePrintable has its own list of what a terminal or a reader falls for.
func requirePrintable(t *testing.T, text string) {
	t.Helper()
	require.True(t, utf8.ValidString(text), "%q", text)
	for _, r := range text {
		require.False(t, unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Bidi_Control, unicode.Co, unicode.Cs), "%U in %q", r, text)
	}
}

func TestPrintable(t *testing.T) {
	cases := map[string]struct{ reason, text, want string }{
		"Plain":       {"most there is", "secrets/system-app.json is changed: \"a\\b\"", "secrets/system-app.json is changed: \"a\\b\""},
		"Scripts":     {"letters are letters", "größe логотип 標誌 شعار 🔑", "größe логотип 標誌 شعار 🔑"},
		"Accent":      {"in two characters", "e\u0301", "e\u0301"},
		"Colour":      {"ESC", "\x1b[31mok\x1b[0m", `\x1b[31mok\x1b[0m`},
		"Title":       {"a terminal sets its title, some run what it says", "\x1b]0;x\a", `\x1b]0;x\a`},
		"C1":          {"the same in one character", "\u009b2J", `\u009b2J`},
		"C1Byte":      {"or in one byte, which is no UTF-8", "\x9b2J", `\x9b2J`},
		"Line":        {"it would look like a line of ours", "x\nRun r9 is intact", `x\nRun r9 is intact`},
		"Return":      {"it would write over what is there", "damaged\rintact ", `damaged\rintact `},
		"Tab":         {"it would be another column", "a\tComplete", `a\tComplete`},
		"Backspace":   {"likewise", "no\b\byes\x7f", `no\b\byes\x7f`},
		"Null":        {"", "a\x00b", `a\x00b`},
		"Override":    {"Trojan Source: read from right to left", "gpj.\u202eexe", `gpj.\u202eexe`},
		"Isolate":     {"likewise", "\u2066a\u2069", `\u2066a\u2069`},
		"Mark":        {"likewise", "a\u200fb\u061c", `a\u200fb\u061c`},
		"ZeroWidth":   {"two names that look the same", "sys\u200btem\ufeff", `sys\u200btem\ufeff`},
		"Separators":  {"lines of Unicode", "a\u2028b\u2029c\u0085d", `a\u2028b\u2029c\u0085d`},
		"Space":       {"one that is no space", "a\u00a0b", `a\u00a0b`},
		"Tags":        {"invisible, and beyond 16 bits", "a\U000e0041", `a\U000e0041`},
		"Surrogate":   {"half a character", "\xed\xa0\x80", `\xed\xa0\x80`},
		"Overlong":    {"an ESC that is none", "\xc0\x9b", `\xc0\x9b`},
		"Replacement": {"a character like any", "\ufffd", "\ufffd"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, job.Printable(tc.text), tc.reason)
			requirePrintable(t, job.Printable(tc.text))
			text, err := json.Marshal(map[string]any{"a": []string{tc.text}})
			require.NoError(t, err)
			safe := job.PrintableJSON(text)
			requirePrintable(t, string(safe))
			assert.JSONEq(t, string(text), string(safe), "of the same values")
			assert.Equal(t, []string{job.Printable(tc.text)}, job.Bounded([]string{tc.text}), "what is reported")
		})
	}
}

func FuzzPrintable(f *testing.F) {
	for _, seed := range []string{"a", "\x1b[2J", "\u202e", "\xff", "\u009b", "\U000e0041"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		safe := job.Printable(text)
		requirePrintable(t, safe)
		require.Equal(t, safe, job.Printable(safe))
		encoded, err := json.Marshal(text)
		require.NoError(t, err)
		printable := job.PrintableJSON(encoded)
		requirePrintable(t, string(printable))
		require.JSONEq(t, string(encoded), string(printable))
	})
}
