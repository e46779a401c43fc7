package docs_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/docs"
)

// root of the repository, from this package's folder.
const root = "../.."

const (
	mostLines      = 200 // of the front door
	mostWords      = 40  // of a sentence
	mostCharacters = 120 // of a line of prose
)

// forDevelopers are the pages that may speak of tests by their names.
var forDevelopers = []string{"CONTRIBUTING.md", "test/README.md"}

func pages(t *testing.T) []*docs.Page {
	t.Helper()
	out, err := docs.Pages(root)
	require.NoError(t, err)
	require.NotEmpty(t, out)
	return out
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(data)
}

// TestLinks: each file that a page links to is there, and each heading.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		for _, link := range page.Links() {
			if strings.Contains(link, "://") {
				continue
			}
			file, anchor, _ := strings.Cut(link, "#")
			target := page.Path
			if file != "" {
				target = path.Join(path.Dir(page.Path), file)
			}
			_, err := os.Stat(filepath.Join(root, filepath.FromSlash(target)))
			if !assert.NoError(t, err, "%s links to %s", page.Path, link) || anchor == "" {
				continue
			}
			other, err := docs.Read(root, target)
			require.NoError(t, err)
			assert.True(t, slices.ContainsFunc(other.Headings, func(h docs.Heading) bool { return h.Anchor == anchor }), "%s links to %s", page.Path, link)
		}
	}
}

// TestHeadings: a link, and the walk of test/install, names a section by its title.
func TestHeadings(t *testing.T) {
	for _, page := range pages(t) {
		seen := map[string]bool{}
		for _, heading := range page.Headings {
			assert.False(t, seen[heading.Title], "%s has %q twice", page.Path, heading.Title)
			seen[heading.Title] = true
		}
	}
}

// TestSentences: nobody has to read one twice to find its verb.
func TestSentences(t *testing.T) {
	for _, page := range pages(t) {
		for _, sentence := range page.Sentences() {
			if words := len(strings.Fields(sentence)); words > mostWords {
				assert.Fail(t, "a long sentence", "%s: %d words: %s", page.Path, words, sentence)
			}
		}
	}
}

// TestLines: prose can be read, and compared, without scrolling. The cells of a
// table cannot be broken.
func TestLines(t *testing.T) {
	for _, page := range pages(t) {
		for _, line := range page.Prose {
			if length := utf8.RuneCountInString(line.Text); length > mostCharacters && !strings.HasPrefix(strings.TrimSpace(line.Text), "|") {
				assert.Fail(t, "a long line", "%s:%d has %d characters", page.Path, line.Number, length)
			}
		}
	}
}

// TestNamesOfTests: they mean nothing to a user.
func TestNamesOfTests(t *testing.T) {
	name := regexp.MustCompile(`\bTest[A-Z]\w+`)
	for _, page := range pages(t) {
		if slices.Contains(forDevelopers, page.Path) {
			continue
		}
		for _, heading := range page.Headings {
			assert.NotRegexp(t, name, heading.Title, page.Path)
		}
		for _, line := range page.Prose {
			assert.NotRegexp(t, name, line.Text, "%s:%d", page.Path, line.Number)
		}
	}
}

// TestFrontDoor: the README is short, and its commands are those of the pages
// that it leads to.
func TestFrontDoor(t *testing.T) {
	readme, err := docs.Read(root, "README.md")
	require.NoError(t, err)
	assert.LessOrEqual(t, readme.Length, mostLines)
	assert.Contains(t, readme.Blocks, docs.Block{Section: "Test", Language: "console", Text: "$ make test\n"}, "CI runs this command")
	var elsewhere strings.Builder
	for _, page := range pages(t) {
		for _, block := range page.Blocks {
			if page.Path != readme.Path && block.Language == "sh" {
				elsewhere.WriteString(block.Text)
			}
		}
	}
	for _, block := range readme.Blocks {
		if block.Language == "sh" {
			assert.Contains(t, elsewhere.String(), block.Text)
		}
	}
}

// TestPagesAreLinked: each page is one jump from the README.
func TestPagesAreLinked(t *testing.T) {
	readme, err := docs.Read(root, "README.md")
	require.NoError(t, err)
	linked := []string{readme.Path}
	for _, link := range readme.Links() {
		file, _, _ := strings.Cut(link, "#")
		linked = append(linked, file)
	}
	for _, page := range pages(t) {
		assert.Contains(t, linked, page.Path)
	}
}

// TestCommandsAreFollowed: a section has commands for a shell if, and only if,
// the end-to-end test of the installation follows it, or that of what is done by hand.
func TestCommandsAreFollowed(t *testing.T) {
	followed := map[string]bool{}
	install, err := filepath.Glob(filepath.Join(root, "test", "install", "*.go"))
	require.NoError(t, err)
	byHand, err := filepath.Glob(filepath.Join(root, "test", "byhand", "*.go"))
	require.NoError(t, err)
	for _, file := range slices.Concat(install, byHand) {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, call := range regexp.MustCompile(`r\.follow\("([^"]+)", "([^"]+)"`).FindAllStringSubmatch(string(data), -1) {
			followed[call[1]+"#"+call[2]] = true
		}
	}
	withCommands := map[string]bool{}
	for _, page := range pages(t) {
		for _, block := range page.Blocks {
			if block.Language == "sh" && page.Path != "README.md" { // see TestFrontDoor
				withCommands[page.Path+"#"+block.Section] = true
			}
		}
	}
	assert.Equal(t, followed, withCommands)
}

// elsewhere are the sections whose commands, shown with a prompt, need what the
// tests run in another way, or what they do not have.
var elsewhere = map[string]string{
	"examples/README.md#Rights of the users":              "the databases' own tools",
	"examples/README.md#By hand":                          "the databases' own tools",
	"examples/README.md#Restore the databases":            "the databases' own tools",
	"examples/README.md#Object lock":                      "AWS' command line, and a bucket with delete markers",
	"examples/README.md#Render an example":                "crossplane render, which test/render calls with these files",
	"examples/restore/README.md#Restore from a bucket":    "a bucket, which test/e2e has",
	"examples/restore/databases/README.md#Another domain": "test/databases runs the scripts",
	"CONTRIBUTING.md#A first change":                      "what a developer runs while at work",
}

// TestShownCommandsRun: what is shown with a prompt is a target of make that CI
// calls, a command of the demo, or one about OpenShift's Routes (test/examples
// runs the one that saves them).
func TestShownCommandsRun(t *testing.T) {
	ci := read(t, ".ci/run")
	demo := strings.Join(strings.Fields(strings.ReplaceAll(read(t, "test/demo/demo.sh"), "\\\n", " ")), " ")
	for _, page := range pages(t) {
		for _, block := range page.Blocks {
			if elsewhere[page.Path+"#"+block.Section] != "" {
				continue
			}
			for _, command := range regexp.MustCompile(`(?m)^\$ (.+)$`).FindAllStringSubmatch(block.Text, -1) {
				switch program, _, _ := strings.Cut(command[1], " "); program {
				case "kubectl":
					assert.Contains(t, command[1], "routes", "test/install runs all else of kubectl")
				case "make":
					assert.Contains(t, ci, "\n"+command[1]+"\n")
				default:
					assert.Contains(t, demo, command[1])
				}
			}
		}
	}
}

// TestMessagesNamePages: a section that the program, or a comment in a manifest,
// sends its reader to is there.
func TestMessagesNamePages(t *testing.T) {
	named := regexp.MustCompile(`\\?"([A-Z][^"\\]+)\\?" in ([a-z/]+/README\.md)|([a-z/]+/README\.md)(?:, | \()([A-Z][^),;]+?)(?: and ([A-Z]\w+))?\)`)
	found := 0
	require.NoError(t, filepath.WalkDir(filepath.Join(root, "fn"), func(file string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(file) != ".go" {
			return err
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, match := range named.FindAllStringSubmatch(string(source), -1) {
			page, err := docs.Read(root, match[2]+match[3])
			require.NoError(t, err, file)
			for _, title := range []string{match[1], match[4], match[5]} {
				if title != "" {
					assert.True(t, slices.ContainsFunc(page.Headings, func(h docs.Heading) bool { return h.Title == title }), "%s names %q of %s", file, title, page.Path)
					found++
				}
			}
		}
		return nil
	}))
	assert.Greater(t, found, 10)
}
