package job_test

import (
	"strings"
	"testing"
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
		"Malformed": {"no answer could hold it", "\xc3", "\ufffd"},
		"Inside":    {"likewise", "a\xff\xfeb", "A\ufffdb"},
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
		require.True(t, utf8.ValidString(sentence))
		require.Equal(t, sentence, job.Sentence(sentence))
		require.Equal(t, utf8.RuneCountInString(strings.ToValidUTF8(text, "\ufffd")), utf8.RuneCountInString(sentence))
	})
}
