package docs_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"threescale.dev/backup/test/docs"
)

const page = "# A page, with `code`\n" +
	"One [link](a.md#b). Two,\nthree `[no](link)`.\n\n" +
	"<!-- a comment -->\n" +
	"## Again\n" +
	"```sh\n# no heading\nfirst\n```\n" +
	"- in a list\n- another:\n\n" +
	"  ```sh\n  second\n    third\n  ```\n" +
	"### Again\n" +
	"| a cell. Two | more \\| of it |\n" +
	"```console\n$ no sh\n```\n"

func TestParse(t *testing.T) {
	p := docs.Parse("x.md", page)
	assert.Equal(t, 22, p.Length)
	assert.Equal(t, []docs.Heading{{Title: "A page, with `code`", Anchor: "a-page-with-code"}, {Title: "Again", Anchor: "again"}, {Title: "Again", Anchor: "again-1"}}, p.Headings)
	assert.Equal(t, []string{"# no heading\nfirst\n", "second\n  third\n"}, p.Commands("Again"))
	assert.Equal(t, []string{"a.md#b"}, p.Links())
	assert.Equal(t, []string{"One link.", "Two, three code.", "- in a list", "- another:", "a cell.", "Two", "more  of it"}, p.Sentences())
}
