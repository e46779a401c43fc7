package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "draw the kept figures again instead of comparing with them")

// TestFiguresAreShown: what the page and the pictures show is what was measured.
func TestFiguresAreShown(t *testing.T) {
	const root = "../.."
	if *update {
		require.NoError(t, Show(root))
	}
	copied := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(copied, pictures), 0o755))
	files := []string{page, figuresFile}
	drawn, err := filepath.Glob(filepath.Join(root, pictures, "*.svg"))
	require.NoError(t, err)
	figures, err := kept(root)
	require.NoError(t, err)
	require.Len(t, drawn, len(bySet(figures)), "a picture of each set")
	for _, set := range bySet(figures) {
		files = append(files, pictureFile(set[0].Set))
	}
	for _, name := range files[:2] {
		data, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(copied, name), data, 0o600))
	}
	require.NoError(t, Show(copied))
	for _, name := range files {
		want, err := os.ReadFile(filepath.Join(copied, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, got), "%s is not drawn from the figures: run go test ./test/bench -update", name)
	}
}

// example has a step that one tool does not have.
func example(set string, files int) []Figure {
	return []Figure{
		{Set: set, Files: files, Bytes: 3 << 20, Rounds: 5, Step: "first", Tool: "mover", Seconds: 0.5, Processor: 1.25, MemoryMiB: 17, DiskMiB: 4, Inodes: 9},
		{Set: set, Files: files, Bytes: 3 << 20, Rounds: 5, Step: "first", Tool: "a<b", Seconds: 2, Ratio: 0.25, Least: 0.2, Most: 0.3, Processor: 12.34, MemoryMiB: 8, DiskMiB: 3, Inodes: 8},
		{Set: set, Files: files, Bytes: 3 << 20, Rounds: 5, Step: "verify", Tool: "mover", Seconds: 123.4, Processor: 0.0214, MemoryMiB: 18},
	}
}

func TestKeep(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, pictures), 0o755))
	require.NoError(t, write(root, page, "# A page\n\n"+sectionStart+"old\n"+sectionEnd+"\nMore.\n"))
	require.NoError(t, Keep(root, "L", example("L", 200)))
	require.NoError(t, Keep(root, "M", example("M", 30)), "another run adds a set")
	again := example("L", 200)
	again[0].Seconds = 0.25
	require.NoError(t, Keep(root, "L", again), "a set that is measured again replaces its figures")

	figures, err := kept(root)
	require.NoError(t, err)
	assert.Equal(t, append(example("M", 30), again...), figures, "small sets come first")
	text, err := os.ReadFile(filepath.Join(root, page))
	require.NoError(t, err)
	assert.Equal(t, `# A page

<!-- drawn from bench/figures.json -->

![Set M: the time of each step](bench/M.svg)

| M: 30 files, 3 MiB; rounds: 5 | mover | a<b |
|---|---|---|
| first | 500 ms, 1.25 s, 17 MiB | 2.00 s (**0.25**), 12.3 s, 8 MiB |
| verify | 123 s, 21 ms, 18 MiB | |
| disk after first | 4 MiB, 9 inodes | 3 MiB, 8 inodes |

![Set L: the time of each step](bench/L.svg)

| L: 200 files, 3 MiB; rounds: 5 | mover | a<b |
|---|---|---|
| first | 250 ms, 1.25 s, 17 MiB | 2.00 s (**0.25**), 12.3 s, 8 MiB |
| verify | 123 s, 21 ms, 18 MiB | |
| disk after first | 4 MiB, 9 inodes | 3 MiB, 8 inodes |

<!-- end of what is drawn -->

More.
`, string(text))
	for _, set := range []string{"M", "L"} {
		assert.FileExists(t, filepath.Join(root, pictureFile(set)))
	}
}

func TestKeepRefuses(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, pictures), 0o755))
	require.NoError(t, write(root, page, "# A page\n\n"+sectionStart))
	require.ErrorContains(t, Keep(root, "M", example("M", 30)), "it has no lines")
	require.NoError(t, write(root, figuresFile, "[\n"))
	require.ErrorContains(t, Keep(root, "M", example("M", 30)), "cannot read figures", "figures of other sets are not lost")
}

// TestPicture: the bars of a step are as long as its times, and the picture is XML whatever a tool is called.
func TestPicture(t *testing.T) {
	var widths, texts []string
	decoder := xml.NewDecoder(strings.NewReader(picture(example("M", 30))))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			if token.Name.Local == "rect" {
				bar := map[string]string{}
				for _, attribute := range token.Attr {
					bar[attribute.Name.Local] = attribute.Value
				}
				widths = append(widths, bar["class"]+" "+bar["width"])
			}
		case xml.CharData:
			if text := strings.TrimSpace(string(token)); text != "" && !strings.HasPrefix(text, ".page") {
				texts = append(texts, text)
			}
		}
	}
	assert.Equal(t, []string{"page 640", "mover 120", "peer 480", "mover 480"}, widths)
	assert.Equal(t, []string{"first", "mover", "500 ms", "a<b", "2.00 s", "verify", "mover", "123 s"}, texts)
}
