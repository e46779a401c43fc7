package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/api/resource"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/cmd/internal/exit"
)

// console is where a command writes: its answer to out, all else to err. It makes all
// that it prints printable, since names and messages come from volumes, Git repositories
// and clusters that others write to.
type console struct {
	out, err io.Writer
	json     bool
}

// sayf prints a line of text; with -o json it prints nothing.
func (c *console) sayf(format string, args ...any) {
	if !c.json {
		fmt.Fprintln(c.out, job.Printable(fmt.Sprintf(format, args...)))
	}
}

// sayEach prints a line for each text.
func (c *console) sayEach(format string, texts []string) {
	for _, text := range texts {
		c.sayf(format, text)
	}
}

// fail prints an error.
func (c *console) fail(err error) { exit.Print(c.err, err) }

// encode prints value as JSON.
func (c *console) encode(value any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := c.out.Write(job.PrintableJSON(text.Bytes()))
	return err
}

// table prints rows of cells below a header, in columns.
func (c *console) table(header []string, rows [][]string) error {
	w := tabwriter.NewWriter(c.out, 0, 0, 3, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, 0, len(row))
		for _, cell := range row {
			cells = append(cells, job.Printable(cell))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// progress returns a function that draws a progress bar, and one that ends it. Without a
// terminal, they do nothing.
func (c *console) progress() (draw func(v1alpha1.Progress), end func()) {
	file, ok := c.err.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return func(v1alpha1.Progress) {}, func() {}
	}
	bar := progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(file),
		progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())
	draw = func(p v1alpha1.Progress) {
		bar.Describe(fmt.Sprintf("%s %d/%d files", p.Phase, p.FilesDone, p.FilesTotal))
		if p.BytesTotal > 0 {
			bar.ChangeMax64(p.BytesTotal)
		}
		_ = bar.Set64(p.BytesDone) // a bar that cannot be drawn is no error
	}
	return draw, func() { _ = bar.Finish() }
}

// size formats bytes, such as 88.1Mi.
func size(bytes int64) string {
	const unit = 1024
	if bytes < unit {
		return resource.NewQuantity(bytes, resource.DecimalSI).String()
	}
	value, suffix := float64(bytes)/unit, 0
	for value >= unit {
		value /= unit
		suffix++
	}
	return fmt.Sprintf("%.1f%ci", value, "KMGTPE"[suffix])
}
