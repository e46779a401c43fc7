//go:build linux

package cluster

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"sigs.k8s.io/yaml"
)

// A chart renders templates of Crossplane's own Helm chart, with the chart's
// own values: the rights that are under test are then those that Crossplane is
// shipped with, not a copy. It knows the few functions that those templates
// use, and fails on any other.
type chart struct {
	dir     string
	version string
	// namespace of the release.
	namespace string
}

// render returns the named templates as one YAML stream.
func (c chart) render(names ...string) ([]byte, error) {
	values, err := os.ReadFile(filepath.Join(c.dir, "values.yaml"))
	if err != nil {
		return nil, fmt.Errorf("cannot read values of chart %q: %w", c.dir, err)
	}
	data := map[string]any{
		"Chart":   map[string]any{"Name": "crossplane", "Version": strings.TrimPrefix(c.version, "v"), "AppVersion": c.version},
		"Release": map[string]any{"Name": "crossplane", "Namespace": c.namespace, "Service": "Helm"},
	}
	parsed := map[string]any{}
	if err := yaml.Unmarshal(values, &parsed); err != nil {
		return nil, fmt.Errorf("cannot parse values of chart %q: %w", c.dir, err)
	}
	data["Values"] = parsed

	templates := template.New("chart").Option("missingkey=zero")
	templates.Funcs(chartFuncs(templates))
	files := make([]string, 0, len(names)+1)
	for _, name := range append([]string{"_helpers.tpl"}, names...) {
		files = append(files, filepath.Join(c.dir, "templates", name))
	}
	if _, err := templates.ParseFiles(files...); err != nil {
		return nil, fmt.Errorf("cannot parse templates of chart %q: %w", c.dir, err)
	}
	var out bytes.Buffer
	for _, name := range names {
		out.WriteString("\n---\n")
		if err := templates.ExecuteTemplate(&out, name, data); err != nil {
			return nil, fmt.Errorf("cannot render template %q: %w", name, err)
		}
	}
	return out.Bytes(), nil
}

// chartFuncs are the functions of Helm that the templates call.
func chartFuncs(templates *template.Template) template.FuncMap {
	indent := func(n int, s string) string {
		return strings.Repeat(" ", n) + strings.ReplaceAll(s, "\n", "\n"+strings.Repeat(" ", n))
	}
	return template.FuncMap{
		"include": func(name string, data any) (string, error) {
			var out bytes.Buffer
			err := templates.ExecuteTemplate(&out, name, data)
			return out.String(), err
		},
		"indent":  indent,
		"nindent": func(n int, s string) string { return "\n" + indent(n, s) },
		"quote":   func(v any) string { return fmt.Sprintf("%q", fmt.Sprint(v)) },
		"default": func(fallback, value any) any {
			if value == nil || value == "" {
				return fallback
			}
			return value
		},
		"trunc":      func(n int, s string) string { return s[:min(n, len(s))] },
		"trimSuffix": func(suffix, s string) string { return strings.TrimSuffix(s, suffix) },
		"replace":    func(old, replacement, s string) string { return strings.ReplaceAll(s, old, replacement) },
		"toYaml": func(v any) (string, error) {
			out, err := yaml.Marshal(v)
			return strings.TrimSuffix(string(out), "\n"), err
		},
	}
}
