//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/seaweedfs"
)

const roleARN = "arn:aws:iam::123456789012:role/backup"

// newFederation starts an object store which trusts the API server's own tokens: those of the ServiceAccounts that
// examples/README.md and examples/restore/README.md name.
func (w *tenant) newFederation() *cluster.Federation {
	w.t.Helper()
	var actions []string
	for _, right := range copyRights() {
		actions = append(actions, string(right))
	}
	account := "system:serviceaccount:" + w.namespace + ":"
	f, err := shared.StartFederation(w.t.Context(), filepath.Join(shared.Dir(), "federation"), seaweedfs.Trust{
		Audience: "sts.amazonaws.com", Role: roleARN, Actions: actions, Bucket: w.namespace,
		Subjects: []string{account + nightly + "-mover", account + "dr-inspect-*", account + "dr-refill-*"},
	})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { assert.NoError(w.t, f.Stop()) })
	w.makeSecret("bucket-ca", map[string][]byte{"ca.crt": f.CA})
	return f
}

// byIdentity names a bucket for a claim or a restore whose pods have nothing but a token.
func byIdentity(f *cluster.Federation, role string) string {
	return fmt.Sprintf(`{endpoint: "%s", bucketName: %s, region: us-east-1, certSecretRef: {name: bucket-ca},
		webIdentity: {roleARN: %q, endpoint: "https://%s"}}`, f.Endpoint, f.Name, role, f.Endpoint)
}

// allowSTS makes a Composition that lets tokens go to a security token service, and returns its name.
func (w *tenant) allowSTS(endpoint string) string {
	w.t.Helper()
	shipped, err := os.ReadFile("../../manifests/" + claimFlavour + "/composition.yaml")
	require.NoError(w.t, err)
	name := "with-sts-" + w.namespace
	text := strings.NewReplacer(
		"name: threescalebackup-claim", "name: "+name,
		"image: registry.example.com/function-threescale-backup:v0.1.0", fmt.Sprintf("image: %s\n      allow: {stsEndpoints: [%q]}", image, endpoint),
	).Replace(string(shipped))
	require.Contains(w.t, text, "stsEndpoints")
	require.NoError(w.t, shared.ApplyYAML(w.t.Context(), []byte(text)))
	w.t.Cleanup(func() {
		_, err := shared.Kubectl(context.WithoutCancel(w.t.Context()), "", "delete", "composition", name)
		assert.NoError(w.t, err)
	})
	return name
}

// TestWebIdentity: the pods of a backup and of a restore have no keys. What opens the bucket are tokens that the API server
// made and the kubelet mounted, which another program checks and exchanges.
func TestWebIdentity(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := newTenant(t)
	f := w.newFederation()
	b := &bucket{Bucket: f.Bucket, t: t, prefix: w.namespace + "/" + nightly + "/", endpoint: f.Endpoint}
	composition := w.allowSTS("https://" + f.Endpoint)
	pods := w.watchPods()
	offsite := func(trigger, role string) {
		require.NoError(t, w.apply(claim(nightly, beside(fmt.Sprintf(`trigger: %s, compositionRef: {name: %s}, offsite: {bucket: %s}`, trigger, composition, byIdentity(f, role))))))
	}
	offsite("first", roleARN+"-of-others")
	denied := w.untilReason(nightly, v1alpha1.ConditionOffsiteCopied, v1alpha1.ReasonBucketDenied)
	t.Log(message(denied, v1alpha1.ConditionOffsiteCopied))
	w.assertCondition(denied, v1alpha1.ConditionOffsiteCopied, "False", v1alpha1.ReasonBucketDenied, "refuses the token", "backup-of-others", "the role of webIdentity")

	offsite("second", roleARN)
	copied := w.untilCopied(nightly)
	b.assertLayout(w.volumeDir(nightlyVolume))
	assert.Contains(t, b.runs(), lastRun(copied))
	w.assertNoKeys(pods)

	kept := w.disaster()
	d := w.deliver()
	w.admin("create", "serviceaccount", "restorer")
	role, binding := w.restorer()
	d.create(role)
	d.create(binding)
	source := strings.TrimSuffix(byIdentity(f, roleARN), "}") + ", prefix: " + strings.TrimSuffix(b.prefix, "/") + "}"
	d.ask(dr("dr", fmt.Sprintf(`{serviceAccountName: restorer, kustomizationRef: {name: apps}, restoreSource: {bucket: %s}}`, source)))
	w.untilRestore("dr", "Ready", "True", "Restored")
	d.assertRestored(kept, d.onlyCommit(t, branch))
}

// assertNoKeys: the pods that copied have a token for the security token service, and no Secret but a certificate.
func (w *tenant) assertNoKeys(seen *podLog) {
	w.t.Helper()
	seen.Lock()
	defer seen.Unlock()
	copies := 0
	for name, pod := range seen.pods {
		if !strings.Contains(fmt.Sprint(pod.Spec.Containers[0].Args), job.CopyCommand) {
			continue
		}
		copies++
		assert.Equal(w.t, []string{"bucket-ca"}, secretsOf(&pod), name)
	}
	assert.NotZero(w.t, copies, "there was a pod that copied")
}
