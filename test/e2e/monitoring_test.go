//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// withoutData are the queries of the dashboard that have nothing to show of a
// backup without a schedule and verifications while nothing is under way or wrong.
var withoutData = map[string]bool{
	"Alerts A":                     true,
	"Backups B":                    true, // next run
	"Backups C":                    true, // too old from
	"Backups H":                    true, // verified
	"Time until too old A":         true,
	"Progress of runs in flight A": true,
	"Verifications A":              true,
	"Verifications B":              true,
	"Copies to buckets A":          true,
	"Copies to buckets B":          true,
}

// everything is the status of a backup in which all is wrong, and every field
// is set. Its times have passed.
const everything = `{
	completed: false, apiManagerSourceName: example, backupPersistentVolumeClaimName: all-backup, lastHandledTrigger: a,
	startTime: "2026-01-02T02:00:00Z", completionTime: "2026-01-02T02:10:00Z", lastSuccessfulTime: "2026-01-01T02:10:00Z",
	nextRunTime: "2026-01-03T02:00:00Z", staleTime: "2026-01-02T08:00:00Z",
	schedule: {expression: "0 2 * * *", since: "2026-01-01T00:00:00Z", missedSlots: 3},
	progress: {phase: FileStorage, filesDone: 1, filesTotal: 4, bytesDone: 25, bytesTotal: 100},
	lastRun: {id: 20260101t020000z-1a2b3c4d, files: 7, bytes: 70, linkedFiles: 5, manifestSHA256: "00", freedBytes: 9},
	verification: {state: Completed, completionTime: "2026-01-02T05:10:00Z", lastSuccessfulTime: "2026-01-01T05:10:00Z", bytes: 700,
		damagedRuns: [20260101t020000z-1a2b3c4d, 20260102t020000z-1a2b3c4d], schedule: {expression: "0 5 * * *", since: "2026-01-01T00:00:00Z", missedSlots: 2}},
	offsite: {location: s3.example.com/backups/all, state: Failed, lastSuccessfulTime: "2026-01-01T02:20:00Z", failures: 3, bytes: 60, requests: 12,
		verification: {state: Completed, lastSuccessfulTime: "2026-01-01T06:10:00Z", damagedRuns: [20260101t020000z-1a2b3c4d],
			schedule: {expression: "0 6 * * *", since: "2026-01-01T00:00:00Z", missedSlots: 1}}},
	conditions: [
		{type: OffsiteCopied, status: "False", reason: BucketDenied, message: m, lastTransitionTime: "2026-01-02T02:20:00Z"},
		{type: OffsiteVerified, status: "False", reason: Damaged, message: m, lastTransitionTime: "2026-01-02T06:10:00Z"},
		{type: BackupCompleted, status: "False", reason: NoSpace, message: m, lastTransitionTime: "2026-01-02T02:10:00Z"},
		{type: PreflightPassed, status: "False", reason: SecretMissing, message: m, lastTransitionTime: "2026-01-02T02:10:00Z"},
		{type: Verified, status: "False", reason: Damaged, message: m, lastTransitionTime: "2026-01-02T05:10:00Z"}]}`

// TestMonitoring: a real kube-state-metrics with the shipped file and no other
// right than the shipped ClusterRole, and a real Prometheus with the shipped
// rules. After a backup and a restore the dashboard shows them and no alert is
// about to fire; of what goes wrong then, its own alert knows.
func TestMonitoring(t *testing.T) {
	withFlux(t)
	w := backedUp(t)
	w.lose()
	w.operate()
	d := w.deliver()
	controller := w.measureController()
	d.ask(dr("dr", withKustomization))
	restored := w.untilRestore("dr", "Ready", "True", "Restored")
	backup := w.untilReason(nightly, "PreflightPassed", "Passed")

	m := w.startMonitor(controller)
	m.untilValue(m.of("threescale_backup_last_success_timestamp_seconds", nightly), seconds(t, status(backup, "lastSuccessfulTime")))
	m.untilValue(m.of("threescale_restore_completion_timestamp_seconds", "dr"), seconds(t, status(restored, "completionTime")))
	m.assertBackup(backup)
	m.assertRestore(restored)
	m.untilDashboard(withoutData)
	assert.Empty(t, m.selected(), "nothing is wrong")

	require.NoError(t, w.apply(claim("missing", `{apiManagerName: missing, backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}}`)))
	w.untilReason("missing", "PreflightPassed", "APIManagerNotFound")
	w.ask(dr("lost", fmt.Sprintf(`{restoreSource: {persistentVolume: {volumeName: %s}}}`, w.persistentVolume(nightlyVolume))))
	w.untilRestore("lost", "Stalled", "True", "SourceUnusable")
	w.breakAll("all")
	wrong := map[string][]string{
		"ThreeScaleBackupTooOld":         {"all"},
		"ThreeScaleBackupFailing":        {"all"},
		"ThreeScaleBackupSlotsMissed":    {"all"},
		"ThreeScaleBackupDamaged":        {"all"},
		"ThreeScaleBackupCannotStart":    {"all", "missing"},
		"ThreeScaleBackupNotOffsite":     {"all"},
		"ThreeScaleBackupOffsiteDamaged": {"all"},
		"ThreeScaleRestoreStalled":       {"lost"},
	}
	m.untilSelected(wrong)
	m.assertEveryMetric()
	m.untilDashboard(map[string]bool{"Alerts A": true}) // each waits a while before it fires

	require.NoError(t, m.kubeStateMetrics.Stop())
	m.untilLost()
}

// measureController starts the controller such that it serves its metrics, and
// returns where.
func (w *tenant) measureController() string {
	w.t.Helper()
	address := freeAddress(w.t)
	require.NoError(w.t, flux.controller.Stop())
	w.t.Cleanup(func() {
		require.NoError(w.t, flux.controller.Stop())
		require.NoError(w.t, startController(context.WithoutCancel(w.t.Context())))
	})
	require.NoError(w.t, startController(w.t.Context(), "--metrics-addr="+address))
	w.assertNoProfiles(address)
	return address
}

// assertNoProfiles: what is served to whoever may ask for metrics are metrics, and not
// what is in memory.
func (w *tenant) assertNoProfiles(address string) {
	w.t.Helper()
	for path, want := range map[string]int{"/metrics": http.StatusOK, "/debug/pprof/": http.StatusNotFound, "/debug/pprof/heap": http.StatusNotFound, "/debug/pprof/cmdline": http.StatusNotFound} {
		w.eventually(path+" to be answered", func(ctx context.Context) error {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
			if err != nil {
				return err
			}
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				return err
			}
			if answer.StatusCode != want {
				return errors.Join(fmt.Errorf("status is %s", answer.Status), answer.Body.Close())
			}
			return answer.Body.Close()
		})
	}
}

// breakAll makes a backup that Crossplane leaves alone, with a status in which
// all is wrong.
func (w *tenant) breakAll(name string) {
	w.t.Helper()
	require.NoError(w.t, w.apply(strings.Replace(
		claim(name, `{trigger: b, schedule: "0 2 * * *", timeZone: Europe/Berlin, verify: {schedule: "0 5 * * *"}, backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}}`),
		"metadata: {", `metadata: {annotations: {crossplane.io/paused: "true"}, `, 1)))
	w.untilReason(name, "Synced", "ReconcilePaused")
	w.admin("patch", "threescalebackup", name, "--subresource=status", "--type=merge", "-p", merge(`{}`, "status: "+everything))
}

// assertBackup compares what is measured of the backup with its status.
func (m *monitor) assertBackup(backup *unstructured.Unstructured) {
	m.t.Helper()
	for metric, field := range map[string]string{"run_bytes": "bytes", "run_files": "files", "run_linked_files": "linkedFiles"} {
		want, ok := status(backup, "lastRun", field).(int64)
		require.True(m.t, ok, field)
		assert.InDelta(m.t, want, m.value(m.of("threescale_backup_"+metric, nightly)), 0, metric)
	}
	for metric, field := range map[string]string{"start": "startTime", "completion": "completionTime"} {
		assert.InDelta(m.t, seconds(m.t, status(backup, field)), m.value(m.of("threescale_backup_"+metric+"_timestamp_seconds", nightly)), 0, metric)
	}
	info := m.one(m.of("threescale_backup_info", nightly)).Metric
	assert.Equal(m.t, "example", info["api_manager"])
	assert.Equal(m.t, nightlyVolume, info["persistentvolumeclaim"])
	assert.Equal(m.t, lastRun(backup), info["run"])
	assert.NotContains(m.t, info, "schedule")
	assert.InDelta(m.t, 1, m.value(m.of("threescale_backup_condition", nightly, `type="BackupCompleted"`, `status="True"`, `reason="Completed"`)), 0)
	assert.InDelta(m.t, 1, m.value(m.of("threescale_backup_composite_condition", nightly, `type="Synced"`)), 0)
	for metric, want := range map[string]float64{"completed": 1, "suspended": 0, "missed_slots": 0} {
		assert.InDelta(m.t, want, m.value(m.of("threescale_backup_"+metric, nightly)), 0, metric)
	}
}

// assertRestore compares what is measured of the restore with its status.
func (m *monitor) assertRestore(restored *unstructured.Unstructured) {
	m.t.Helper()
	info := m.one(m.of("threescale_restore_info", "dr")).Metric
	assert.Equal(m.t, status(restored, "lastPushCommit"), info["commit"])
	assert.Equal(m.t, status(restored, "restoredRun"), info["run"])
	assert.InDelta(m.t, seconds(m.t, status(restored, "lastPushTime")), m.value(m.of("threescale_restore_last_push_timestamp_seconds", "dr")), 0)
	assert.InDelta(m.t, 1, m.value(m.of("threescale_restore_condition", "dr", `type="Ready"`, `status="True"`, `reason="Restored"`)), 0)
}

// untilDashboard waits until each query of the dashboard has data for the
// tenant's namespace, but for some. None may fail.
func (m *monitor) untilDashboard(but map[string]bool) {
	m.t.Helper()
	m.eventually("the dashboard to have data", func(context.Context) error {
		for _, panel := range m.base.Dashboard.Panels {
			for _, target := range panel.Targets {
				name := panel.Title + " " + target.RefID
				expr := strings.NewReplacer("$namespace", m.namespace, "$__rate_interval", "1m").Replace(target.Expr)
				if len(m.query(expr)) == 0 && !but[name] {
					return fmt.Errorf("query %s has none: %s", name, expr)
				}
			}
		}
		return nil
	})
}

// selected are the objects of the tenant that each alert's expression selects.
func (m *monitor) selected() map[string][]string {
	m.t.Helper()
	selected := map[string][]string{}
	for _, rule := range m.base.Rules {
		for _, sample := range m.query(rule.Expr) {
			if namespace, has := sample.Metric["exported_namespace"]; !has || namespace == m.namespace {
				selected[rule.Alert] = append(selected[rule.Alert], sample.Metric["name"])
			}
		}
		slices.Sort(selected[rule.Alert])
	}
	return selected
}

// untilSelected waits until the alerts' expressions select these objects, and
// Prometheus has them pending.
func (m *monitor) untilSelected(want map[string][]string) {
	m.t.Helper()
	m.eventually("the alerts to be those that are wrong", func(context.Context) error {
		if got := m.selected(); !assert.ObjectsAreEqual(want, got) {
			return fmt.Errorf("selected are %v", got)
		}
		for alert, names := range want {
			if found := m.query(fmt.Sprintf(`ALERTS{alertname=%q, namespace=%q}`, alert, m.namespace)); len(found) != len(names) {
				return fmt.Errorf("alerts %s are %v", alert, found)
			}
		}
		return nil
	})
}

// untilLost waits until it is noticed that nothing tells of the kinds any more.
func (m *monitor) untilLost() {
	m.t.Helper()
	m.eventually("the loss of kube-state-metrics to be seen", func(context.Context) error {
		if selected := m.selected()["ThreeScaleBackupMetricsLost"]; len(selected) != 1 {
			return errNotYet
		}
		return nil
	})
}

// assertEveryMetric: each that the file says has been seen.
func (m *monitor) assertEveryMetric() {
	m.t.Helper()
	for _, name := range m.base.Config.MetricNames() {
		assert.NotEmpty(m.t, m.query(fmt.Sprintf("%s{exported_namespace=%q}", name, m.namespace)), name)
	}
}
