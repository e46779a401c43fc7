package monitoring_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
)

// columns of Grafana's grid.
const columns = 24

func TestDashboard(t *testing.T) {
	base := load(t)
	assert.NotEmpty(t, base.Dashboard.UID)
	assert.NotEmpty(t, base.Dashboard.Title)
	// Flux would substitute ${...}, where a Kustomization has postBuild.
	assert.NotContains(t, string(base.DashboardFile), "${")
	ids, queries := map[int]bool{}, 0
	for _, panel := range base.Dashboard.Panels {
		assert.False(t, ids[panel.ID], "%s: its ID is another panel's", panel.Title)
		ids[panel.ID] = true
		assert.LessOrEqual(t, panel.GridPos.X+panel.GridPos.W, columns, panel.Title)
		if panel.Type == "row" {
			continue
		}
		assert.NotEmpty(t, panel.Description, panel.Title)
		refs := map[string]bool{}
		for _, target := range panel.Targets {
			assert.False(t, refs[target.RefID], "%s: two queries %s", panel.Title, target.RefID)
			refs[target.RefID] = true
			queries++
			assert.Contains(t, target.Expr, `exported_namespace=~"$namespace`, "%s shows the chosen namespaces only", panel.Title)
		}
	}
	assert.Greater(t, queries, 20)
}

// TestDashboardPanelsDoNotOverlap: Grafana would move them.
func TestDashboardPanelsDoNotOverlap(t *testing.T) {
	taken := map[[2]int]string{}
	for _, panel := range load(t).Dashboard.Panels {
		for x := range panel.GridPos.W {
			for y := range panel.GridPos.H {
				cell := [2]int{panel.GridPos.X + x, panel.GridPos.Y + y}
				assert.Empty(t, taken[cell], "%s lies over it", panel.Title)
				taken[cell] = panel.Title
			}
		}
	}
}

// TestDashboardVariables: each that a query speaks of is there.
func TestDashboardVariables(t *testing.T) {
	base := load(t)
	known := map[string]bool{"__rate_interval": true, "__all": true} // Grafana's own
	for _, variable := range base.Dashboard.Templating.List {
		known[variable.Name] = true
	}
	for _, match := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(string(base.DashboardFile), -1) {
		assert.True(t, known[match[1]], match[1])
	}
}
