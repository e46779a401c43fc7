package monitoring_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/test/docs"
	"threescale.dev/backup/test/monitoring"
)

// root of the repository, from this package's folder.
const root = "../.."

func load(t *testing.T) *monitoring.Base {
	t.Helper()
	base, err := monitoring.Load(root)
	require.NoError(t, err)
	return base
}

// TestObjects: what is applied, by the names that others know it by.
func TestObjects(t *testing.T) {
	var names []string
	for _, object := range load(t).Objects {
		names = append(names, object.GetKind()+" "+object.GetName())
		assert.Empty(t, object.GetNamespace(), "%s goes where monitoring is", object.GetName())
		if object.GetName() == monitoring.DashboardName {
			assert.Equal(t, map[string]string{"grafana_dashboard": "1"}, object.GetLabels(), "Grafana's sidecar finds it")
		}
	}
	assert.ElementsMatch(t, []string{
		"ClusterRole " + monitoring.ConfigName, "ConfigMap " + monitoring.ConfigName, "ConfigMap " + monitoring.DashboardName,
		"PodMonitor threescale-backup", "PrometheusRule " + monitoring.RuleName,
	}, names)
}

// TestPodMonitor: it selects the pods of the controller, and their port.
func TestPodMonitor(t *testing.T) {
	var monitor struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`

		Spec struct {
			NamespaceSelector struct {
				MatchNames []string `json:"matchNames"`
			} `json:"namespaceSelector"`
			Selector struct {
				MatchLabels map[string]string `json:"matchLabels"`
			} `json:"selector"`
			PodMetricsEndpoints []struct {
				Port string `json:"port"`
			} `json:"podMetricsEndpoints"`
		} `json:"spec"`
	}
	var deployment appsv1.Deployment
	decode(t, &monitor, "manifests", "monitoring", "podmonitor.yaml")
	decode(t, &deployment, "manifests", "controller", "deployment.yaml")
	assert.Equal(t, []string{deployment.Namespace}, monitor.Spec.NamespaceSelector.MatchNames)
	assert.Equal(t, deployment.Spec.Template.Labels, monitor.Spec.Selector.MatchLabels)
	require.Len(t, monitor.Spec.PodMetricsEndpoints, 1)
	assert.Equal(t, deployment.Spec.Template.Spec.Containers[0].Ports[0].Name, monitor.Spec.PodMetricsEndpoints[0].Port)
}

// decode reads a file of the repository.
func decode(t *testing.T, into any, path ...string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalStrict(data, into))
}

// metricsOf are the metrics that an expression speaks of.
func metricsOf(expr string) []string {
	return regexp.MustCompile(`\b(threescale|gotk)_[a-z_]+`).FindAllString(expr, -1)
}

// TestMetricsAreThere: what rules and dashboard speak of is what
// kube-state-metrics tells, or the controller itself.
func TestMetricsAreThere(t *testing.T) {
	base := load(t)
	known := append(base.Config.MetricNames(), "gotk_reconcile_duration_seconds_bucket")
	for _, rule := range base.Rules {
		for _, metric := range metricsOf(rule.Expr) {
			assert.Contains(t, known, metric, rule.Alert)
		}
	}
	for _, panel := range base.Dashboard.Panels {
		for _, target := range panel.Targets {
			for _, metric := range metricsOf(target.Expr) {
				assert.Contains(t, known, metric, panel.Title)
			}
		}
	}
}

// TestMetricNamesAreUnique: kube-state-metrics would tell of one name twice.
func TestMetricNamesAreUnique(t *testing.T) {
	names := load(t).Config.MetricNames()
	assert.Equal(t, slices.Compact(slices.Clone(names)), names)
}

// TestReasonsAreThere: an expression that speaks of a reason that nothing has
// would never fire, or always.
func TestReasonsAreThere(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(root, "fn", "api", "v1alpha1", "conditions.go"))
	require.NoError(t, err)
	known := string(source) + `= "ReconcilePaused"` // Crossplane's
	found := 0
	for _, rule := range load(t).Rules {
		for _, match := range regexp.MustCompile(`reason(?:=|=~|!=|!~)"([^"]+)"`).FindAllStringSubmatch(rule.Expr, -1) {
			for reason := range strings.SplitSeq(match[1], "|") {
				assert.Contains(t, known, `= "`+reason+`"`, rule.Alert)
				found++
			}
		}
	}
	assert.Equal(t, 8, found)
}

// TestConditionsAreThere: likewise for the types of conditions.
func TestConditionsAreThere(t *testing.T) {
	known := []string{v1alpha1.ConditionPreflightPassed, v1alpha1.ConditionBackupCompleted, v1alpha1.ConditionVerified, v1alpha1.ConditionOffsiteCopied, v1alpha1.ConditionOffsiteVerified, "Synced", "Ready", "Stalled"}
	for _, rule := range load(t).Rules {
		for _, match := range regexp.MustCompile(`\btype(?:=|=~)"([^"]+)"`).FindAllStringSubmatch(rule.Expr, -1) {
			for name := range strings.SplitSeq(match[1], "|") {
				assert.Contains(t, known, name, rule.Alert)
			}
		}
	}
}

// TestRulesAreComplete: who gets an alert is told what to do.
func TestRulesAreComplete(t *testing.T) {
	for _, rule := range load(t).Rules {
		assert.Regexp(t, `^ThreeScale(Backup|Restore)[A-Z]`, rule.Alert)
		assert.Contains(t, []string{"warning", "critical"}, rule.Labels["severity"], rule.Alert)
		assert.Equal(t, []string{"description", "runbook_url", "summary"}, slices.Sorted(maps.Keys(rule.Annotations)), rule.Alert)
		assert.NotContains(t, rule.Annotations["summary"], "{{", "%s: one summary for all of its objects", rule.Alert)
	}
}

// TestClusterRole: it lets kube-state-metrics list and watch the kinds of its
// file, and no other.
func TestClusterRole(t *testing.T) {
	base := load(t)
	var role rbacv1.ClusterRole
	require.NoError(t, yaml.UnmarshalStrict(base.ClusterRole, &role))
	var kinds []string
	for _, resource := range base.Config.Spec.Resources {
		assert.Equal(t, v1alpha1.Group, resource.GroupVersionKind.Group)
		assert.Equal(t, v1alpha1.Version, resource.GroupVersionKind.Version)
		kinds = append(kinds, strings.ToLower(resource.GroupVersionKind.Kind)+"s")
	}
	allowed := map[string][]string{}
	for _, rule := range role.Rules {
		assert.Equal(t, []string{"list", "watch"}, rule.Verbs)
		require.Len(t, rule.APIGroups, 1)
		allowed[rule.APIGroups[0]] = rule.Resources
	}
	assert.ElementsMatch(t, kinds, allowed[v1alpha1.Group])
	assert.Equal(t, []string{"customresourcedefinitions"}, allowed["apiextensions.k8s.io"])
	assert.Len(t, allowed, 2)
}

// TestPage holds the page to what is shipped: each metric and each alert is in
// its table, and each alert has a runbook that its annotation names.
func TestPage(t *testing.T) {
	const name = "manifests/monitoring/README.md"
	page, err := docs.Read(root, name)
	require.NoError(t, err)
	base := load(t)
	var prose strings.Builder
	for _, line := range page.Prose {
		prose.WriteString(line.Text + "\n")
	}
	for _, table := range []string{base.Config.MetricsTable(), base.AlertsTable()} {
		assert.Contains(t, prose.String(), table, "print the tables again with: go run ./test/monitoring/alerts")
	}
	for _, rule := range base.Rules {
		at := slices.IndexFunc(page.Headings, func(h docs.Heading) bool { return h.Title == rule.Alert })
		if assert.GreaterOrEqual(t, at, 0, "%s has a runbook", rule.Alert) {
			assert.Equal(t, name+"#"+page.Headings[at].Anchor, rule.Annotations["runbook_url"], rule.Alert)
		}
	}
}
