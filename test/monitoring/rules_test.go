package monitoring_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/test/monitoring"
)

// promtool runs Prometheus' own tool on files in a folder, and returns what it
// has against them.
func promtool(t *testing.T, dir string, args ...string) error {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		require.Empty(t, os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING"), err)
		t.Skip("needs promtool: apt-get install prometheus")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot run promtool %q: %w: %s", args, err, out)
	}
	return nil
}

// ruleFolder is a folder that holds the rules, as rules.yaml.
func ruleFolder(t *testing.T, base *monitoring.Base) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules.yaml"), base.RuleFile, 0o600))
	return dir
}

func TestRulesAreWellFormed(t *testing.T) {
	require.NoError(t, promtool(t, ruleFolder(t, load(t)), "check", "rules", "--lint-fatal", "rules.yaml"))
}

// The objects of the tables, as labels.
const (
	nightly = `exported_namespace="3scale",name="nightly"`
	other   = `exported_namespace="elsewhere",name="nightly"`
	weekly  = `exported_namespace="3scale",name="weekly"`
)

// samples are the values of series, by their names, one a minute.
type samples map[string]string

// series is a metric of an object, with more labels.
func series(metric, object string, labels ...string) string {
	return fmt.Sprintf("%s{%s}", metric, strings.Join(append([]string{object, `job="kube-state-metrics"`}, labels...), ","))
}

// conditionOf is a condition of an object, of threescale_backup or threescale_restore.
func conditionOf(prefix, object, name, status, reason string) string {
	return series(prefix+"_condition", object, fmt.Sprintf("type=%q", name), fmt.Sprintf("status=%q", status), fmt.Sprintf("reason=%q", reason))
}

// ruleTest is one line of the tables.
type ruleTest struct {
	reason string
	series samples
	at     string
	// fires are the objects for which the alert fires.
	fires []string
}

// runRules runs a table through promtool.
func runRules(t *testing.T, alert string, tests map[string]ruleTest) {
	t.Helper()
	base := load(t)
	var rule *monitoring.Rule
	for i := range base.Rules {
		if base.Rules[i].Alert == alert {
			rule = &base.Rules[i]
		}
	}
	require.NotNil(t, rule, alert)
	dir := ruleFolder(t, base)
	all := runTests(t, dir, rule, slices.Collect(maps.Values(tests))...)
	if all == nil {
		return
	}
	for name, test := range tests { // one by one, since promtool does not say which
		t.Run(name, func(t *testing.T) { require.NoError(t, runTests(t, dir, rule, test), test.reason) })
	}
	require.NoError(t, all)
}

// runTests runs lines of a table.
func runTests(t *testing.T, dir string, rule *monitoring.Rule, tests ...ruleTest) error {
	t.Helper()
	groups := []any{}
	for _, test := range tests {
		groups = append(groups, testGroup(rule, test))
	}
	data, err := yaml.Marshal(map[string]any{"rule_files": []string{"rules.yaml"}, "evaluation_interval": "1m", "tests": groups})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "test.yaml"), data, 0o600))
	return promtool(t, dir, "test", "rules", "test.yaml")
}

// testGroup is a line in promtool's format.
func testGroup(rule *monitoring.Rule, test ruleTest) map[string]any {
	input := []any{}
	for name, values := range test.series {
		input = append(input, map[string]any{"series": name, "values": values})
	}
	expected := []any{}
	for _, object := range test.fires {
		expected = append(expected, expectedAlert(rule, object))
	}
	return map[string]any{
		"interval":        "1m",
		"input_series":    input,
		"alert_rule_test": []any{map[string]any{"eval_time": test.at, "alertname": rule.Alert, "exp_alerts": expected}},
	}
}

// expectedAlert is the alert for an object, with all of its text.
func expectedAlert(rule *monitoring.Rule, object string) map[string]any {
	labels := map[string]string{}
	for label := range strings.SplitSeq(object, ",") {
		name, value, _ := strings.Cut(label, "=")
		labels[name] = strings.Trim(value, `"`)
	}
	from := maps.Clone(labels)
	for name, text := range rule.Labels {
		labels[name] = monitoring.Expand(text, from)
	}
	annotations := map[string]string{}
	for name, text := range rule.Annotations {
		annotations[name] = monitoring.Expand(text, from)
	}
	return map[string]any{"exp_labels": labels, "exp_annotations": annotations}
}

// TestAlertsAreTested: each alert has a table here.
func TestAlertsAreTested(t *testing.T) {
	tested := map[string]bool{}
	for _, name := range []string{"backup_rules_test.go", "restore_rules_test.go"} {
		source, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, rule := range load(t).Rules {
			tested[rule.Alert] = tested[rule.Alert] || strings.Contains(string(source), fmt.Sprintf("runRules(t, %q,", rule.Alert))
		}
	}
	for alert, is := range tested {
		assert.True(t, is, alert)
	}
}
