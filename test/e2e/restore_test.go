//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/sops"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
	"threescale.dev/backup/test/gitserver"
)

// inNamespace sets the namespace of an object of YAML.
func inNamespace(t *testing.T, text, namespace string) string {
	t.Helper()
	var object map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &object))
	object["metadata"].(map[string]any)["namespace"] = namespace
	out, err := yaml.Marshal(object)
	require.NoError(t, err)
	return string(out)
}

// allSecrets are the Secrets of an installation, with those that it refers to.
func (w *tenant) allSecrets() []threescale.Member {
	w.t.Helper()
	apiManager := w.apiManager()
	objects := threescale.Secrets(apiManager)
	for _, reference := range threescale.ReferencedSecrets(apiManager) {
		objects = append(objects, threescale.Member{Kind: threescale.KindSecret, Name: reference.Name})
	}
	return objects
}

// backedUp is a tenant with one backup.
func backedUp(t *testing.T) *tenant {
	t.Helper()
	w := newTenant(t)
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	w.untilCompleted(nightly)
	return w
}

// disaster takes the installation away, and leaves an operator that would run
// it. It returns what there was.
func (w *tenant) disaster() *installation {
	w.t.Helper()
	kept := w.remember()
	w.lose()
	w.operate()
	return kept
}

// lose deletes an installation, and empties its file storage.
func (w *tenant) lose() {
	w.t.Helper()
	objects := append(w.allSecrets(), threescale.ConfigMaps()...)
	owned := w.admin("get", "pvc", threescale.FileStoragePVCName, "--ignore-not-found", "-o", "jsonpath={.metadata.ownerReferences[*].name}") != ""
	w.admin("delete", "apimanagers.apps.3scale.net", "--all", "--timeout=1m")
	if owned { // The garbage collector takes what the operator had made its own.
		w.admin("wait", "--for=delete", "pvc/"+threescale.FileStoragePVCName, "--timeout="+patience.String())
	}
	names := []string{}
	for _, object := range objects {
		names = append(names, strings.ToLower(object.Kind)+"/"+object.Name)
	}
	w.admin(append([]string{"delete", "--ignore-not-found"}, names...)...)
	w.emptyFiles()
}

// emptyFiles deletes all files of the file storage.
func (w *tenant) emptyFiles() {
	w.t.Helper()
	entries, err := os.ReadDir(w.files)
	require.NoError(w.t, err)
	for _, entry := range entries {
		if entry.Name() != "lost+found" {
			require.NoError(w.t, os.RemoveAll(filepath.Join(w.files, entry.Name())))
		}
	}
}

// installation is what is to be there again.
type installation struct {
	secrets map[string]*corev1.Secret
	// config are the data of ConfigMap system, which may be as confidential.
	config map[string]string
	// files is a copy of the file storage.
	files string
}

// remember keeps what a tenant has.
func (w *tenant) remember() *installation {
	w.t.Helper()
	kept := &installation{secrets: map[string]*corev1.Secret{}, files: filepath.Join(w.t.TempDir(), "files")}
	for _, object := range w.allSecrets() {
		kept.secrets[object.Name] = w.secret(object.Name)
	}
	kept.config = w.systemConfig()
	out, err := exec.Command("cp", "-a", w.files, kept.files).CombinedOutput()
	require.NoError(w.t, err, string(out))
	return kept
}

// systemConfig are the data of ConfigMap system.
func (w *tenant) systemConfig() map[string]string {
	w.t.Helper()
	config := &corev1.ConfigMap{}
	require.NoError(w.t, shared.Client().Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: threescale.SystemConfig}, config))
	return config.Data
}

// assertSecrets compares each value that there was, and ConfigMap system. The
// operator adds some.
func (w *tenant) assertSecrets(kept *installation) {
	w.t.Helper()
	for name, secret := range kept.secrets {
		live := w.secret(name)
		assert.Equal(w.t, secret.Type, live.Type, "Secret %s", name)
		for key, value := range secret.Data {
			assert.True(w.t, bytes.Equal(value, live.Data[key]), "Secret %s has key %s again", name, key)
		}
	}
	assert.True(w.t, maps.Equal(kept.config, w.systemConfig()), "ConfigMap system is as it was") // its values are not shown
}

// assertFiles compares the file storage, but for its root and for owners:
// content, modes, times to the second, links.
func (w *tenant) assertFiles(kept *installation) {
	w.t.Helper()
	out, err := exec.Command("rsync", "-rlptnic", "--delete", "--exclude=lost+found", kept.files+"/", w.files+"/").CombinedOutput()
	require.NoError(w.t, err, string(out))
	for line := range strings.Lines(string(out)) {
		assert.Regexp(w.t, `^\.d\S+ \./\n$`, line, "the files are the same")
	}
}

// assertCommit looks at the one commit of a restore: what it changes, what it
// records, and that each Secret in it is encrypted.
func (d *delivery) assertCommit(done *unstructured.Unstructured, commit gitserver.Commit) {
	d.t.Helper()
	name := done.GetName()
	assert.Equal(d.t, status(done, "lastPushCommit"), commit.Hash)
	require.Len(d.t, commit.Trailers["Threescale-Restore"], 1)
	assert.Regexp(d.t, fmt.Sprintf(`^%s/%s [0-9a-f]{64}(\+[0-9a-f]{8})? %s$`, d.namespace, name, status(done, "restoredRun")), commit.Trailers["Threescale-Restore"][0])
	folder, _, err := unstructured.NestedString(done.Object, "spec", "path")
	require.NoError(d.t, err)
	changed, err := d.repository.Changed(d.t.Context(), commit.Hash)
	require.NoError(d.t, err)
	for _, path := range changed {
		assert.Regexp(d.t, `^`+filepath.Clean(folder)+`/(base|overlays)/`+name+`/`, path)
		if base := filepath.Base(path); strings.HasPrefix(base, "secret-") || base == "configmap-system.yaml" {
			data, err := d.repository.ReadFile(d.t.Context(), commit.Hash, path)
			require.NoError(d.t, err)
			assert.True(d.t, sops.Encrypted(data), "%s is encrypted", path)
		}
	}
}

// assertNothingStays looks for what a restore made only for itself.
func (w *tenant) assertNothingStays() {
	w.t.Helper()
	assert.Empty(w.t, w.admin("get", "jobs,secrets,configmaps,roles,rolebindings,serviceaccounts", "-l", "backup.threescale.dev/restore", "-o", "name"), "nothing of the restore stays")
}

// untilNothingStays waits until that is gone, and the pods.
func (w *tenant) untilNothingStays() {
	w.t.Helper()
	w.eventually("all of the restore to be gone", func(context.Context) error {
		if out := w.admin("get", "jobs,pods,secrets,configmaps,roles,rolebindings,serviceaccounts", "-l", "backup.threescale.dev/restore", "-o", "name"); out != "" {
			return fmt.Errorf("there are %s", out)
		}
		return nil
	})
}

// assertRestored looks at everything that a restore is to bring back, but for
// the named Secrets: what is in them is the test's.
func (d *delivery) assertRestored(kept *installation, commits []gitserver.Commit, but ...string) {
	d.t.Helper()
	for _, name := range but {
		delete(kept.secrets, name)
	}
	got, err := d.restoreOf(d.t.Context(), "dr")
	require.NoError(d.t, err)
	d.assertCommit(got, commits[0])
	d.assertSecrets(kept)
	d.assertFiles(kept)
	d.assertNothingStays()
}

// onlyCommit is the one commit beside the maintainer's.
func (d *delivery) onlyCommit(t *testing.T, branch string) []gitserver.Commit {
	t.Helper()
	commits, err := d.repository.Commits(t.Context(), branch)
	require.NoError(t, err)
	require.Len(t, commits, 2)
	return commits[:1]
}

// TestRestoreOfALostInstallation is the way that the pages show: the objects
// are deleted and the file storage is empty; one ThreeScaleRestore and one
// commit later all of it is back. Nothing runs beside it, and it prints how long it takes.
func TestRestoreOfALostInstallation(t *testing.T) {
	withFlux(t)
	w := newTenant(t, func(o *options) { o.set = dataset.SetM })
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	run := lastRun(w.untilCompleted(nightly))
	kept := w.disaster()
	d := w.newExample("lost-installation", w.inPlace())
	d.apply(allButRestore)
	applied := time.Now()
	d.restore()
	done := w.untilRestore("dr", "Ready", "True", "Restored")
	d.timeline(done, applied)
	assert.Equal(t, run, status(done, "restoredRun"))
	assert.Equal(t, true, status(done, "completed"))
	d.assertRestored(kept, d.onlyCommit(t, branch))
	d.show("get", "threescalerestore", "dr")
	d.show("get", "threescalerestore", "dr", "-o", `jsonpath={range .status.plan.objects[*]}{.verdict}{"\t"}{.kind} {.name}{"\n"}{end}`)
	d.show("describe", "threescalerestore", "dr")
	d.show("get", "events", "--field-selector=involvedObject.kind=ThreeScaleRestore", "-o", "custom-columns=TYPE:.type,REASON:.reason,MESSAGE:.message")
}

// show prints what the page shows.
func (d *delivery) show(args ...string) {
	d.t.Helper()
	out, err := d.kubectl(args...)
	require.NoError(d.t, err)
	d.t.Logf("$ kubectl %s\n%s", strings.Join(args, " "), out)
}

// timeline prints when a restore reached what, from when it was applied, and how
// much of that was neither its pods' own time nor the operator's.
func (d *delivery) timeline(done *unstructured.Unstructured, applied time.Time) {
	d.t.Helper()
	pushed, completed := d.at(status(done, "lastPushTime")), d.at(status(done, "completionTime"))
	var pods time.Duration
	jobs := map[string]span{}
	for _, action := range []string{"inspect", "refill", "resync"} {
		jobs[action] = d.lifeOfJob("dr-" + action)
		pods += jobs[action].length()
	}
	available := d.at(condition(d.apiManager(), "Available")["lastTransitionTime"])
	sidekiq := span{d.firstEvent("Waiting for system-sidekiq"), jobs["resync"].from}
	operator := sidekiq.length() + span{jobs["resync"].to, available}.length()
	total := completed.Sub(applied).Round(time.Second)
	d.t.Logf("restore applied to commit pushed %s, to completed %s (all to the second)", pushed.Sub(applied).Round(time.Second), total)
	d.t.Logf("pods %s (%v), operator until sidekiq is ready and Available %s, all else %s", pods, jobs, operator, total-pods-operator)
}

// span is a stretch of time.
type span struct{ from, to time.Time }

// length is 0 for a stretch that did not begin or did not end.
func (s span) length() time.Duration {
	if s.from.IsZero() || s.to.IsZero() {
		return 0
	}
	return max(0, s.to.Sub(s.from))
}

// String writes its length.
func (s span) String() string { return s.length().String() }

// at reads a time of the API.
func (d *delivery) at(text any) time.Time {
	d.t.Helper()
	at, err := time.Parse(time.RFC3339, fmt.Sprint(text))
	require.NoError(d.t, err)
	return at
}

// lifeOfJob is from when a Job made its pod to when it was complete, by its
// events, which outlive it.
func (d *delivery) lifeOfJob(prefix string) (life span) {
	d.t.Helper()
	for _, e := range d.events("Job") {
		switch {
		case !strings.HasPrefix(e.InvolvedObject.Name, prefix):
		case e.Reason == "SuccessfulCreate":
			life.from = e.FirstTimestamp.Time
		case e.Reason == "Completed":
			life.to = e.LastTimestamp.Time
		}
	}
	return life
}

// firstEvent is when the restore first said something.
func (d *delivery) firstEvent(message string) time.Time {
	d.t.Helper()
	var first time.Time
	for _, e := range d.events("ThreeScaleRestore") {
		if strings.HasPrefix(e.Message, message) && (first.IsZero() || e.FirstTimestamp.Time.Before(first)) {
			first = e.FirstTimestamp.Time
		}
	}
	return first
}

// events are those of objects of a kind.
func (d *delivery) events(kind string) []corev1.Event {
	d.t.Helper()
	var list corev1.EventList
	require.NoError(d.t, d.c.Client().List(d.t.Context(), &list, client.InNamespace(d.namespace)))
	return slices.DeleteFunc(list.Items, func(e corev1.Event) bool { return e.InvolvedObject.Kind != kind })
}
