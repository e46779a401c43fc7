package monitoring

import (
	"fmt"
	"strings"
)

// Rule is an alert.
type Rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// Expand puts labels in the place of the templates of a text.
func Expand(text string, labels map[string]string) string {
	for name, value := range labels {
		text = strings.ReplaceAll(text, "{{ $labels."+name+" }}", value)
	}
	return text
}

// AlertsTable returns the page's table of the alerts.
func (b *Base) AlertsTable() string {
	var out strings.Builder
	out.WriteString("| alert | severity | after | |\n|---|---|---|---|\n")
	for _, rule := range b.Rules {
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", rule.Alert, rule.Labels["severity"], rule.For, rule.Annotations["summary"])
	}
	return out.String()
}
