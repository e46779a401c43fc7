// Package docs reads the repository's Markdown pages for the tests that hold
// them to their links, their length and their commands. Start at [Pages].
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Page is a Markdown document.
type Page struct {
	// Path is relative to the root of the repository, with slashes.
	Path string
	// Length is the number of its lines.
	Length   int
	Headings []Heading
	Blocks   []Block
	// Prose are the lines outside of fenced blocks and comments, tables included.
	Prose []Line
}

// Heading is a title and the anchor that Git hosts give it.
type Heading struct{ Title, Anchor string }

// Block is a fenced block below a heading. What is indented in a list is shown
// without the indentation.
type Block struct{ Section, Language, Text string }

// Line is a line of prose by its number, which begins with 1.
type Line struct {
	Number int
	Text   string
}

// Pages reads all Markdown pages of the repository, sorted by path.
func Pages(root string) ([]*Page, error) {
	var pages []*Page
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || slices.Contains([]string{"bin", "build", "testdata"}, entry.Name())):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		page, err := Read(root, filepath.ToSlash(relative))
		pages = append(pages, page)
		return err
	})
	return pages, err
}

// Read reads one page by its path below the root.
func Read(root, path string) (*Page, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		return nil, fmt.Errorf("cannot read page %q: %w", path, err)
	}
	return Parse(path, string(text)), nil
}

var fence = regexp.MustCompile("^( *)```(.*)$")

// Parse reads the text of a page.
func Parse(path, text string) *Page {
	page := &Page{Path: path}
	var section, indentation string
	var block *Block
	for line := range strings.Lines(text) {
		page.Length++
		bare := strings.TrimRight(line, "\n")
		match := fence.FindStringSubmatch(bare)
		switch {
		case block != nil && match != nil:
			page.Blocks = append(page.Blocks, *block)
			block = nil
		case block != nil:
			block.Text += strings.TrimPrefix(line, indentation)
		case match != nil:
			indentation, block = match[1], &Block{Section: section, Language: match[2]}
		case strings.HasPrefix(bare, "#"):
			section = strings.TrimSpace(strings.TrimLeft(bare, "#"))
			page.Headings = append(page.Headings, Heading{Title: section, Anchor: page.anchor(section)})
		case !strings.HasPrefix(bare, "<!--"):
			page.Prose = append(page.Prose, Line{Number: page.Length, Text: bare})
		}
	}
	return page
}

// Commands are the shell blocks below a heading, without those below its
// subheadings.
func (p *Page) Commands(section string) []string {
	var out []string
	for _, block := range p.Blocks {
		if block.Section == section && block.Language == "sh" {
			out = append(out, block.Text)
		}
	}
	return out
}

// anchor is what GitHub makes of a title: small letters, digits, hyphens for
// spaces, and a number for a title that was there before.
func (p *Page) anchor(title string) string {
	slug := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, link.ReplaceAllString(title, "$1"))
	anchor := slug
	for n := 1; slices.ContainsFunc(p.Headings, func(h Heading) bool { return h.Anchor == anchor }); n++ {
		anchor = fmt.Sprintf("%s-%d", slug, n)
	}
	return anchor
}

var (
	code = regexp.MustCompile("`[^`]*`")
	link = regexp.MustCompile(`\[([^\]]*)\]\(([^)\s]+)\)`)
)

// Links are the targets of the page's links.
func (p *Page) Links() []string {
	var out []string
	for _, paragraph := range p.paragraphs() {
		for _, match := range link.FindAllStringSubmatch(code.ReplaceAllString(paragraph, "code"), -1) {
			out = append(out, match[2])
		}
	}
	return out
}

var (
	item = regexp.MustCompile(`^ *(?:[-*]|[0-9]+\.) `)
	// A sentence ends with a full stop, or the like, before a space.
	end = regexp.MustCompile(`[.!?]["')*]*\s`)
)

// Sentences are those of the page's paragraphs, list items and cells of tables.
// Code counts as one word.
func (p *Page) Sentences() []string {
	var out []string
	for _, paragraph := range p.paragraphs() {
		text := link.ReplaceAllString(code.ReplaceAllString(paragraph, "code"), "$1")
		for text != "" {
			at := end.FindStringIndex(text)
			if at == nil {
				at = []int{len(text), len(text)}
			}
			out = append(out, strings.TrimSpace(text[:at[1]]))
			text = text[at[1]:]
		}
	}
	return out
}

func (p *Page) paragraphs() []string {
	var out []string
	last := 0
	for _, line := range p.Prose {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line.Text), "|"):
			out = append(out, strings.Split(strings.ReplaceAll(line.Text, `\|`, ""), "|")...)
			last = 0
			continue
		case strings.TrimSpace(line.Text) == "":
			last = 0
			continue
		case item.MatchString(line.Text) || line.Number != last+1:
			out = append(out, "")
		}
		out[len(out)-1] += line.Text + " "
		last = line.Number
	}
	return out
}
