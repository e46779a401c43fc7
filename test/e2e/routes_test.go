//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/operator"
	"threescale.dev/backup/test/porta"
)

// What stands between a commit that is applied and an installation that the
// operator calls available: sidekiq, Zync, and the Routes.

// askAgain has a restore look again, as its messages say.
func (w *tenant) askAgain(name, token string) {
	w.t.Helper()
	_, err := w.kubectl("annotate", "--overwrite", "threescalerestore", name, requestedAt+"="+token)
	require.NoError(w.t, err)
}

// TestDomainOfTheDatabase: Zync makes the Routes that System's database names. As
// long as those are of the former domain, the restore says what the operator waits
// for; once they are moved, it goes on when it is asked to.
func TestDomainOfTheDatabase(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	w.disaster()
	d := w.deliver()
	d.ask(dr("dr", `{kustomizationRef: {name: apps}, interval: 1h, retryInterval: 1h, target: {wildcardDomain: dr.example.com}}`))
	waiting := w.untilRestoreSays("dr", "its Routes to be admitted: backend-3scale.dr.example.com")
	t.Log(message(waiting, "Ready"))
	assert.Contains(t, fmt.Sprint(status(waiting, "plan", "warnings")), `the operator waits for Routes below "dr.example.com"`)
	assert.Contains(t, w.admin("get", "routes", "-o", "jsonpath={.items[*].spec.host}"), "master.apps.example.com", "those of the former domain")

	w.database.SetDomain("dr.example.com")
	w.askAgain("dr", "moved")
	w.untilRestore("dr", "Ready", "True", "Restored")
	w.untilAvailable()
	assert.NotContains(t, w.admin("get", "routes", "-o", "jsonpath={.items[*].spec.host}"), "apps.example.com")
}

// TestJobsThatAreLost: the command ends well also where Redis took nothing. The
// Routes do not come, and it is run again.
func TestJobsThatAreLost(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	w.disaster()
	w.database.Take(porta.Fail)
	d := w.deliver()
	d.ask(dr("dr", withKustomization))
	t.Log(message(w.untilRestoreSays("dr", "its Routes to be admitted"), "Ready"))
	assert.Zero(t, w.database.Pushed())
	w.database.Take(porta.Accept)
	w.untilRestore("dr", "Ready", "True", "Restored")
	w.untilAvailable()
}

// TestResyncJobFails: the Job's own log says why, and once that is mended it does
// what it failed to do.
func TestResyncJobFails(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	w.disaster()
	release, err := stage.OpenShift.Hold(t.Context(), w.namespace, threescale.Sidekiq)
	require.NoError(t, err)
	d := w.deliver()
	d.ask(dr("dr", `{kustomizationRef: {name: apps}, timeout: 160s, retryInterval: 5s}`))
	t.Log(message(w.untilRestoreSays("dr", "are not ready: system-sidekiq"), "Ready"))
	// Sidekiq itself reads the file as it starts, and must not find it empty.
	w.admin("wait", "pods", "-l", "deploymentconfig=system-sidekiq", "--for=condition=Ready", "--timeout="+patience.String())
	healthy := w.admin("get", "configmap", "system", "-o", `jsonpath={.data.zync\.yml}`)
	zync := func(text string) {
		w.admin("patch", "configmap", "system", "--type=merge", "-p", fmt.Sprintf(`{"data":{"zync.yml":%q}}`, text))
	}
	zync("")
	require.NoError(t, release(t.Context()))

	failed := w.untilRestore("dr", "Ready", "False", "ResyncFailed")
	t.Log(message(failed, "Ready"))
	assert.Contains(t, message(failed, "Ready"), "BackoffLimitExceeded")
	assert.Contains(t, message(failed, "Ready"), "logs job/dr-resync-")
	name := w.admin("get", "jobs", "-l", "backup.threescale.dev/restore=dr", "-o", "name")
	for line := range strings.Lines(name) {
		if job := strings.TrimSpace(line); strings.Contains(job, "resync") {
			assert.Contains(t, w.admin("logs", job), "zync.yml is empty")
			pods := w.admin("get", "pods", "-l", "job-name="+strings.TrimPrefix(job, "job.batch/"), "--show-labels", "--no-headers")
			assert.NotContains(t, pods, "threescale_component", "no Service of 3scale takes it for its own")
		}
	}
	zync(healthy)
	w.askAgain("dr", "mended")
	w.untilRestore("dr", "Ready", "True", "Restored")
	w.untilAvailable()
}

// TestResyncIsInterrupted: its pod is killed, and the controller, while it runs.
func TestResyncIsInterrupted(t *testing.T) {
	withFlux(t)
	w := backedUp(t)
	w.disaster()
	w.database.Take(porta.Hang)
	d := w.deliver()
	d.ask(dr("dr", withKustomization))
	w.untilRestoreSays("dr", "Having Zync make the Routes")
	w.untilResyncRuns()
	require.NoError(t, flux.controller.Kill())
	w.admin("delete", "pods", "-l", "backup.threescale.dev/restore=dr", "--field-selector=status.phase=Running", "--grace-period=0", "--force")
	require.NoError(t, startController(t.Context()))
	w.untilResyncRuns()
	w.database.Take(porta.Accept)
	w.untilRestore("dr", "Ready", "True", "Restored")
	w.untilAvailable()
	w.untilNothingStays()
}

// untilResyncRuns waits for a running pod of the Job.
func (w *tenant) untilResyncRuns() {
	w.t.Helper()
	w.admin("wait", "--for=jsonpath={.status.ready}=1", "--timeout="+patience.String(), "job", "-l", "backup.threescale.dev/restore=dr", "--field-selector=status.successful=0")
}

// TestNoSidekiq: one that is never ready ends in a condition that says so, and the
// restore goes on by itself when it is.
func TestNoSidekiq(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	w.disaster()
	release, err := stage.OpenShift.Hold(t.Context(), w.namespace, threescale.Sidekiq)
	require.NoError(t, err)
	d := w.deliver()
	d.ask(dr("dr", `{kustomizationRef: {name: apps}, timeout: 20s}`))
	stalled := w.untilRestore("dr", "Stalled", "True", "ResyncFailed")
	t.Log(message(stalled, "Ready"))
	assert.Contains(t, message(stalled, "Ready"), "; this takes longer than 20s (spec.timeout)")
	require.NoError(t, release(t.Context()))
	w.untilRestore("dr", "Ready", "True", "Restored")
}

// TestRouteIsNeverAdmitted: the wait names the hosts, ends, and goes on by itself.
func TestRouteIsNeverAdmitted(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	w.disaster()
	admit, err := stage.OpenShift.Refuse(t.Context(), w.namespace, "master.apps.example.com")
	require.NoError(t, err)
	d := w.deliver()
	d.ask(dr("dr", `{kustomizationRef: {name: apps}, timeout: 30s}`))
	stalled := w.untilRestore("dr", "Stalled", "True", "NotAvailable")
	t.Log(message(stalled, "Ready"))
	assert.Contains(t, message(stalled, "Ready"), "master.apps.example.com")
	require.NoError(t, admit(t.Context()))
	w.untilRestore("dr", "Ready", "True", "Restored")
}

// TestNewerOperators: what newer operators do otherwise (Deployments, conditions
// for each part), and one that refuses the database.
func TestNewerOperators(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	kept := w.remember()
	w.lose()
	stop := w.operateAsNewer(operator.Options{Version: "2.15.1", Preflights: "PostgreSQL 9 is too old: 10 is the least"})
	d := w.deliver()
	d.ask(dr("dr", withKustomization))
	refused := w.untilRestoreSays("dr", "PostgreSQL 9 is too old")
	t.Log(message(refused, "Ready"))
	stop()
	w.operateAsNewer(operator.Options{Version: "2.15.1"})
	w.untilRestore("dr", "Ready", "True", "Restored")
	w.untilAvailable()
	d.assertRestored(kept, d.onlyCommit(t, branch))
}

// TestHealthCheckGatesNothing: a Kustomization that waits until the APIManager is
// available has applied the commit all the same, and the restore goes on.
func TestHealthCheckGatesNothing(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	w.disaster()
	d := w.deliver()
	w.admin("patch", "kustomization", "apps", "--type=merge", "-p", `{"spec":{
		"healthChecks":[{"apiVersion":"apps.3scale.net/v1alpha1","kind":"APIManager","name":"example","namespace":"`+w.namespace+`"}],
		"healthCheckExprs":[{"apiVersion":"apps.3scale.net/v1alpha1","kind":"APIManager","current":"status.conditions.exists(c, c.type == 'Available' && c.status == 'True')"}]}}`)
	d.ask(dr("dr", withKustomization))
	w.untilRestore("dr", "Ready", "True", "Restored")
	w.untilAvailable()
}

// TestOrphaned: an APIManager that is deleted with --cascade=orphan, while its
// operator is stopped, leaves the file storage and the ConfigMaps, and the restored
// one takes them over.
func TestOrphaned(t *testing.T) {
	withFlux(t)
	parallel(t)
	w, stop := operated(t)
	kept := w.remember()
	const uid = "jsonpath={.metadata.uid} {.metadata.ownerReferences[*].uid}"
	before := strings.Fields(w.admin("get", "pvc", threescale.FileStoragePVCName, "-o", uid))
	require.Len(t, before, 2, "the APIManager owns it")

	w.admin("patch", "apimanager", "example", "--type=merge", "-p", `{"spec":{"appLabel":"changed"}}`)
	d := w.deliver()
	d.ask(dr("dr", withKustomization))
	exists := w.untilRestore("dr", "Ready", "False", "APIManagerExists")
	t.Log(message(exists, "Ready"))
	command := fmt.Sprintf("kubectl -n %s delete apimanager example --cascade=orphan", w.namespace)
	require.Contains(t, message(exists, "Ready"), command)
	stop() // As the message says: it would own them again meanwhile.
	w.admin(strings.Fields(command)[3:]...)
	w.operate()
	w.askAgain("dr", "orphaned")
	w.untilRestore("dr", "Ready", "True", "Restored")
	w.untilAvailable()
	after := strings.Fields(w.admin("get", "pvc", threescale.FileStoragePVCName, "-o", uid))
	require.Len(t, after, 2, "the restored APIManager owns it")
	assert.Equal(t, before[0], after[0], "it is the same claim")
	assert.NotEqual(t, before[1], after[1])
	d.assertRestored(kept, d.onlyCommit(t, branch))
}

// TestGarbageCollectorTakesTheFiles: the APIManager is deleted and restored at
// once, while the garbage collector takes along the claim that it owned.
func TestGarbageCollectorTakesTheFiles(t *testing.T) {
	withFlux(t)
	parallel(t)
	w, _ := operated(t)
	kept := w.remember()
	d := w.deliver()
	w.admin("delete", "apimanager", "example", "--wait=false")
	d.ask(dr("dr", `{kustomizationRef: {name: apps}, retryInterval: 5s, fileStorage: {existing: Mirror}}`))
	d.askUntil("dr", "it to be restored", func(u *unstructured.Unstructured) bool { return status(u, "completed") == true })
	w.untilAvailable()
	w.files = w.volumeDir(threescale.FileStoragePVCName)
	w.assertFiles(kept)
}

// TestRightsAreAskedFirst: an account that may not read sidekiq's template is told
// so before a pod runs.
func TestRightsAreAskedFirst(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	d := w.deliver()
	w.admin("create", "serviceaccount", "restorer")
	role, binding := w.restorer()
	d.create(binding)
	d.create(strings.Replace(role, "resources: [deployments]\n  verbs: [get]", "resources: [deployments]\n  verbs: [list]", 1))
	d.ask(dr("dr", `{serviceAccountName: restorer, kustomizationRef: {name: apps}, dryRun: true, retryInterval: 2s}`))
	missing := w.untilRestore("dr", "Ready", "False", "RightsMissing")
	t.Log(message(missing, "Ready"))
	assert.Contains(t, message(missing, "Ready"), `ServiceAccount "restorer" may not get deployments.apps in namespace`)
	assert.Empty(t, w.admin("get", "jobs", "-l", "backup.threescale.dev/restore=dr", "-o", "name"))
	d.create(role)
	w.untilRestore("dr", "Ready", "True", "Planned")
}
