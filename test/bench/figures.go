// Package bench measures the programs of this repository beside others, as whole
// processes, in turn: machines are noisy, so that only the ratio of runs side by
// side says anything. The measurements have the build tag bench; without it there
// is only what keeps the figures of TestAgainstPeers, and shows them.
package bench

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Figure is what one step took one tool: medians of all rounds.
type Figure struct {
	Set       string  `json:"set"`
	Files     int     `json:"files"`  // of the set
	Bytes     int64   `json:"bytes"`  // of the set
	Rounds    int     `json:"rounds"` // that were measured
	Step      string  `json:"step"`
	Tool      string  `json:"tool"`
	Seconds   float64 `json:"seconds"`
	Ratio     float64 `json:"ratio,omitempty"` // the mover's time in relation to this tool's, pair by pair; none of the mover
	Least     float64 `json:"least,omitempty"` // of the ratios
	Most      float64 `json:"most,omitempty"`
	Processor float64 `json:"processor"`         // seconds of it, of all processes
	MemoryMiB int64   `json:"memoryMiB"`         // at most, of the largest process
	Busy      float64 `json:"busy"`              // share of the machine's processors, whoever has them
	DiskMiB   int64   `json:"diskMiB,omitempty"` // stored after the step, in blocks
	Inodes    int64   `json:"inodes,omitempty"`  // likewise
}

// Places below the root of the repository.
const (
	figuresFile = "test/bench/figures.json"
	page        = "test/README.md"
	pictures    = "test/bench"
)

// The section of the page that is drawn.
const (
	sectionStart = "<!-- drawn from bench/figures.json -->\n"
	sectionEnd   = "<!-- end of what is drawn -->\n"
)

// Keep replaces the figures of a set in the repository at root, and shows all of them.
func Keep(root, set string, measured []Figure) error {
	figures, err := kept(root)
	if err != nil {
		return err
	}
	figures = append(slices.DeleteFunc(figures, func(f Figure) bool { return f.Set == set }), measured...)
	slices.SortStableFunc(figures, func(a, b Figure) int { return a.Files - b.Files })
	lines := make([]string, 0, len(figures))
	for _, figure := range figures {
		line, err := json.Marshal(figure)
		if err != nil {
			return fmt.Errorf("cannot encode the figures of set %q: %w", set, err)
		}
		lines = append(lines, string(line))
	}
	if err := write(root, figuresFile, "[\n"+strings.Join(lines, ",\n")+"\n]\n"); err != nil {
		return err
	}
	return Show(root)
}

// Show draws the tables and the pictures of the kept figures again.
func Show(root string) error {
	figures, err := kept(root)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		return fmt.Errorf("cannot read page %q: %w", page, err)
	}
	shown, err := replaceSection(string(text), tables(figures))
	if err != nil {
		return err
	}
	for _, set := range bySet(figures) {
		if err := write(root, pictureFile(set[0].Set), picture(set)); err != nil {
			return err
		}
	}
	return write(root, page, shown)
}

// kept reads the figures; none when there is no file of them.
func kept(root string) ([]Figure, error) {
	data, err := os.ReadFile(filepath.Join(root, figuresFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read figures %q: %w", figuresFile, err)
	}
	var figures []Figure
	if err := json.Unmarshal(data, &figures); err != nil {
		return nil, fmt.Errorf("cannot read figures %q: %w", figuresFile, err)
	}
	return figures, nil
}

func write(root, name, text string) error {
	if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
		return fmt.Errorf("cannot write %q: %w", name, err)
	}
	return nil
}

func pictureFile(set string) string { return pictures + "/" + set + ".svg" }

// replaceSection returns the page with another text in its section.
func replaceSection(text, section string) (string, error) {
	before, rest, ok := strings.Cut(text, sectionStart)
	_, after, ended := strings.Cut(rest, sectionEnd)
	if !ok || !ended {
		return "", fmt.Errorf("cannot show figures in %q: it has no lines %q and %q", page, sectionStart, sectionEnd)
	}
	return before + sectionStart + section + sectionEnd + after, nil
}

// bySet returns the figures of each set, as they stand.
func bySet(figures []Figure) [][]Figure {
	return chunks(figures, func(f Figure) string { return f.Set })
}

// byStep returns the figures of each step of one set.
func byStep(figures []Figure) [][]Figure {
	return chunks(figures, func(f Figure) string { return f.Step })
}

// chunks splits a list where the key of its items changes.
func chunks(figures []Figure, key func(Figure) string) [][]Figure {
	var out [][]Figure
	for i, figure := range figures {
		if i == 0 || key(figures[i-1]) != key(figure) {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], figure)
	}
	return out
}

// tables is a picture and a table of each set, as Markdown.
func tables(figures []Figure) string {
	var out strings.Builder
	for _, set := range bySet(figures) {
		first := set[0]
		fmt.Fprintf(&out, "\n![Set %s: the time of each step](%s)\n\n", first.Set, strings.TrimPrefix(pictureFile(first.Set), "test/"))
		steps := byStep(set)
		tools := steps[0] // all of them make a first backup
		fmt.Fprintf(&out, "| %s: %d files, %d MiB; rounds: %d |", first.Set, first.Files, first.Bytes>>20, first.Rounds)
		for _, f := range tools {
			fmt.Fprintf(&out, " %s |", f.Tool)
		}
		out.WriteString("\n|" + strings.Repeat("---|", len(tools)+1) + "\n")
		for _, step := range steps {
			row(&out, step[0].Step, tools, step, taken)
		}
		for _, step := range steps {
			if slices.ContainsFunc(step, func(f Figure) bool { return f.Inodes > 0 }) {
				row(&out, "disk after "+step[0].Step, tools, step, stored)
			}
		}
	}
	if out.Len() > 0 {
		out.WriteString("\n")
	}
	return out.String()
}

// row writes what a step took each of the tools; a cell is empty where a tool has no such step.
func row(out *strings.Builder, title string, tools, step []Figure, cell func(Figure) string) {
	fmt.Fprintf(out, "| %s |", title)
	for _, tool := range tools {
		if i := slices.IndexFunc(step, func(f Figure) bool { return f.Tool == tool.Tool }); i >= 0 {
			fmt.Fprintf(out, " %s |", cell(step[i]))
		} else {
			out.WriteString(" |")
		}
	}
	out.WriteString("\n")
}

func taken(f Figure) string {
	ratio := ""
	if f.Ratio > 0 {
		ratio = fmt.Sprintf(" (**%.2f**)", f.Ratio)
	}
	return fmt.Sprintf("%s%s, %s, %d MiB", duration(f.Seconds), ratio, duration(f.Processor), f.MemoryMiB)
}

func stored(f Figure) string { return fmt.Sprintf("%d MiB, %d inodes", f.DiskMiB, f.Inodes) }

// duration is a time with as many digits as say something.
func duration(seconds float64) string {
	switch {
	case seconds < 0.9995:
		return fmt.Sprintf("%.0f ms", 1000*seconds)
	case seconds < 9.995:
		return fmt.Sprintf("%.2f s", seconds)
	case seconds < 99.95:
		return fmt.Sprintf("%.1f s", seconds)
	}
	return fmt.Sprintf("%.0f s", seconds)
}

// Sizes in a picture, in pixels.
const (
	pictureWidth = 640
	barStart     = 70
	barWidth     = 480
	barHeight    = 12
	lineHeight   = 16
)

// style has a background of its own, so that no page behind it makes the picture unreadable.
const style = `<style>
.page{fill:#fff}.peer{fill:#9aa4af}.mover{fill:#0969da}text{fill:#1f2328;font:12px sans-serif}.step{font-weight:bold}.tool{text-anchor:end}
@media(prefers-color-scheme:dark){.page{fill:#0d1117}.peer{fill:#656d76}.mover{fill:#4493f8}text{fill:#e6edf3}}
</style>
`

// picture draws the times of a set as bars, step by step: the slowest tool of a step fills the width.
func picture(set []Figure) string {
	var out strings.Builder
	y := 0
	for _, step := range byStep(set) {
		y += lineHeight + lineHeight/2
		fmt.Fprintf(&out, `<text class="step" x="8" y="%d">%s</text>`+"\n", y, escaped(step[0].Step))
		var slowest float64
		for _, f := range step {
			slowest = max(slowest, f.Seconds)
		}
		for _, f := range step {
			y += lineHeight
			class, width := "peer", max(1, int(math.Round(barWidth*f.Seconds/slowest)))
			if f.Tool == "mover" {
				class = "mover"
			}
			fmt.Fprintf(&out, `<text class="tool" x="%d" y="%d">%s</text><rect class="%s" x="%d" y="%d" width="%d" height="%d"/><text x="%d" y="%d">%s</text>`+"\n",
				barStart-6, y, escaped(f.Tool), class, barStart, y-barHeight+2, width, barHeight, barStart+width+6, y, duration(f.Seconds))
		}
	}
	height := y + lineHeight
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d">`+"\n", pictureWidth, height) +
		style + fmt.Sprintf(`<rect class="page" width="%d" height="%d"/>`+"\n", pictureWidth, height) + out.String() + "</svg>\n"
}

func escaped(text string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(text)) // a Builder never fails
	return out.String()
}
