package publish

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type messageData struct {
	Restore struct{ Namespace, Name string }
	Changed []string
	Values  map[string]string
}

func someData() messageData {
	data := messageData{Changed: []string{"a.yaml", "b.yaml"}, Values: map[string]string{"ticket": "OPS-1"}}
	data.Restore.Namespace, data.Restore.Name = "3scale", "dr"
	return data
}

func TestRenderMessage(t *testing.T) {
	cases := map[string]struct{ template, want string }{
		"plain":   {"Restore\n", "Restore"},
		"fields":  {"Restore {{ .Restore.Namespace }}/{{ .Restore.Name }}", "Restore 3scale/dr"},
		"range":   {"{{ range $i, $f := .Changed }}{{ $i }}:{{ $f }} {{ end }}", "0:a.yaml 1:b.yaml"},
		"map":     {"{{ range $k, $v := .Values }}{{ $k }}={{ $v }}{{ else }}none{{ end }}", "ticket=OPS-1"},
		"nested":  {"{{ if true }}{{ with .Values }}{{ range . }}{{ . }}{{ end }}{{ end }}{{ end }}", "OPS-1"},
		"sprig":   {`{{ .Values.ticket | lower | trunc 3 }} {{ join "," .Changed }}`, "ops a.yaml,b.yaml"},
		"printf":  {`{{ printf "%s-%d" .Restore.Name 3 }}`, "dr-3"},
		"default": {`{{ index .Values "x" | default "y" }}`, "y"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := RenderMessage(tc.template, someData())
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestHarmfulTemplates(t *testing.T) {
	cases := map[string]string{
		"malformed":        "{{ .Restore",
		"no such field":    "{{ .Nothing }}",
		"no such key":      "{{ .Values.nothing }}",
		"environment":      `{{ env "HOME" }}`,
		"environment, too": `{{ expandenv "$HOME" }}`,
		"network":          `{{ getHostByName "example.org" }}`,
		"empty":            " {{ if false }}x{{ end }}",
		"too long":         strings.Repeat("x", maxMessage/2) + strings.Repeat("y", maxTemplate),
		"grows":            `{{ range .Changed }}{{ range $.Changed }}{{ end }}{{ end }}` + strings.Repeat(`{{ printf "%1000s" "x" }}`, 20),
		"repeat":           `{{ repeat 1000000000 "x" }}`,
		"until":            `{{ until 1000000000 }}`,
		"range of number":  `{{ range 1000000000 }}{{ end }}x`,
		"hidden number":    `{{ $n := 1000000000 }}{{ with 1 }}{{ range $n }}{{ end }}{{ end }}x`,
		"number in a part": `{{ define "a" }}{{ range 1000000000 }}{{ end }}{{ end }}{{ template "a" }}x`,
		"doubles":          `{{ $x := "xxxxxxxxxxxxxxxx" }}` + strings.Repeat(`{{ $x = print $x $x }}`, 40) + "x",
		"doubling lists":   `{{ $x := list 1 2 3 4 }}` + strings.Repeat(`{{ $x = concat $x $x }}`, 40) + "x",
		"wide":             `{{ printf "%999999d" 1 }}`,
		"calls itself":     `{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}x`,
		"calls doubling":   doubling(40) + "x",
		"ranges in ranges": strings.Repeat(`{{ range list 1 2 3 4 5 6 7 8 }}`, 12) + strings.Repeat(`{{ end }}`, 12) + "x",
	}
	for name, template := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := RenderMessage(template, someData())
			requireReason(t, err, InvalidInput)
		})
	}
}

// doubling is a template whose parts each call the next one twice, and that prints nothing.
func doubling(parts int) string {
	var text strings.Builder
	for part := range parts {
		fmt.Fprintf(&text, `{{ define "t%d" }}{{ template "t%d" }}{{ template "t%d" }}{{ end }}`, part, part+1, part+1)
	}
	fmt.Fprintf(&text, `{{ define "t%d" }}{{ end }}{{ template "t0" }}`, parts)
	return text.String()
}

// TestLongLists: what is counted is not missed by anybody who writes a message.
func TestLongLists(t *testing.T) {
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprint(i))
	}
	message, err := RenderMessage(`{{ range .Many }}{{ template "line" . }}{{ end }}{{ define "line" }}{{ . }} {{ end }}`, map[string]any{"Many": many})
	require.NoError(t, err)
	assert.Equal(t, strings.Join(many, " "), message)
}

func FuzzRenderMessage(f *testing.F) {
	f.Add("Restore {{ .Restore.Name }}")
	f.Add("{{ range .Changed }}{{ . | upper }}{{ end }}")
	f.Fuzz(func(t *testing.T, template string) {
		message, err := RenderMessage(template, someData())
		if err == nil {
			assert.NotEmpty(t, message)
			assert.LessOrEqual(t, len(message), maxMessage)
		}
	})
}

func FuzzTrailer(f *testing.F) {
	f.Add("Restore x")
	f.Add("x\r\n\r\nSigned-off-by: a\r\n")
	f.Fuzz(func(t *testing.T, message string) {
		commit := commitOf("digest")
		commit.Trailer.Note = "run"
		commit.Message = message
		if commit.check() != nil {
			return
		}
		recorded, found := commit.Trailer.record(commit.message())
		assert.True(t, found)
		assert.Equal(t, commit.Trailer, recorded)
	})
}

func FuzzCheckPath(f *testing.F) {
	f.Add("a/b")
	f.Add("../a")
	f.Fuzz(func(t *testing.T, name string) {
		if checkPath(name) != nil {
			return
		}
		for part := range strings.SplitSeq(name, "/") {
			assert.NotContains(t, []string{"", ".", ".."}, part)
			assert.NotEqual(t, ".git", strings.ToLower(part))
		}
	})
}

func TestTheTrailerJoinsOthers(t *testing.T) {
	cases := map[string]struct{ message, want string }{
		"subject only":   {"x", "x\n\nK: s v n\n"},
		"like a trailer": {"fix: x", "fix: x\n\nK: s v n\n"},
		"body":           {"x\n\nbody", "x\n\nbody\n\nK: s v n\n"},
		"trailers":       {"x\n\nbody\n\nSigned-off-by: a\n", "x\n\nbody\n\nSigned-off-by: a\nK: s v n\n"},
		"CRLF":           {"x\r\n\r\nSigned-off-by: a\r\n", "x\n\nSigned-off-by: a\nK: s v n\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, Commit{Message: tc.message, Trailer: Trailer{"K", "s", "v", "n"}}.message())
		})
	}
}
