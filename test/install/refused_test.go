//go:build e2e

package install

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// refuseTheOtherFlavour installs the second flavour beside the first, and has
// Crossplane refuse it. The first is not touched.
func (s *site) refuseTheOtherFlavour(r *reader) {
	s.t.Helper()
	before := s.kubectl("get", "threescalebackup", "nightly", "-o", "jsonpath={.metadata.uid}")
	r.shell(`kubectl apply -f - <<EOF
apiVersion: pkg.crossplane.io/v1
kind: Configuration
metadata:
  name: threescale-backup-namespaced
spec:
  package: $REGISTRY/configuration-threescale-backup-namespaced:$VERSION
EOF`)
	const (
		other   = "threescalebackups.backup.threescale.dev"
		refusal = "EstablishComposite: cannot apply rendered composite resource CustomResourceDefinition: existing object is not controlled by UID"
	)
	var events string
	s.until("Crossplane to refuse the second flavour", func(context.Context) error {
		events = s.kubectl("get", "events", "--all-namespaces", "--field-selector=involvedObject.name="+other+",type=Warning", "-o", `jsonpath={range .items[*]}{.reason}: {.message}{"\n"}{end}`)
		if !strings.Contains(events, refusal) {
			return fmt.Errorf("its events are %q", events)
		}
		return nil
	})
	s.t.Logf("events of the second flavour:\n%s", events)
	page, err := os.ReadFile(filepath.Join(r.clone, "manifests", "README.md"))
	require.NoError(s.t, err)
	assert.Contains(s.t, string(page), refusal)
	assert.Equal(s.t, "True", s.kubectl("get", "configuration.pkg.crossplane.io", "threescale-backup-namespaced", "-o", `jsonpath={.status.conditions[?(@.type=="Healthy")].status}`), "as the page says")
	assert.Empty(s.t, s.kubectl("get", "xrd", other, "-o", `jsonpath={.status.conditions[?(@.type=="Established")].status}`))
	assert.Contains(s.t, r.shell("bin/threescale-backup check || true"), "Crossplane refuses XRD "+other)
	r.shell("kubectl delete configuration.pkg.crossplane.io threescale-backup-namespaced")
	s.until("the second flavour to be gone", func(context.Context) error {
		if out := s.kubectl("get", "xrd", other, "--ignore-not-found", "-o", "name"); out != "" {
			return fmt.Errorf("there is %s", out)
		}
		return nil
	})
	assert.Equal(s.t, before, s.kubectl("get", "threescalebackup", "nightly", "-o", "jsonpath={.metadata.uid}"))
}

// installWithoutRights installs the package again, and nothing else: Crossplane
// may not read what the function needs, so that the function is not called and
// cannot say it. The command line does. With the rights the backup of that name
// goes on with its volume.
func (s *site) installWithoutRights(r *reader) {
	s.t.Helper()
	// What it was allowed to watch it would watch on for a while.
	require.NoError(s.t, shared.RestartCrossplane(s.t.Context()))
	r.shell(`kubectl apply -f - <<EOF
apiVersion: pkg.crossplane.io/v1
kind: Configuration
metadata:
  name: threescale-backup
spec:
  package: $REGISTRY/configuration-threescale-backup:$VERSION
EOF
kubectl wait configuration.pkg.crossplane.io/threescale-backup --for=condition=Healthy --timeout=5m
kubectl wait function.pkg.crossplane.io --all --for=condition=Healthy --timeout=5m
kubectl wait xrd/xthreescalebackups.backup.threescale.dev --for=condition=Offered --timeout=1m
kubectl apply -f - <<EOF
apiVersion: backup.threescale.dev/v1alpha1
kind: ThreeScaleBackup
metadata: {name: nightly, namespace: 3scale}
spec:
  backupDestination:
    persistentVolumeClaim:
      resources: {requests: 10Gi}
EOF`)
	out := r.shell(`code=0; bin/threescale-backup check || code=$?; echo "exit code $code"`)
	assert.Contains(s.t, out, "get, list, watch on apimanagers.apps.3scale.net")
	assert.Contains(s.t, out, "exit code 78")
	s.until("the composite", func(context.Context) error {
		if s.kubectl("get", "threescalebackup", "nightly", "-o", "jsonpath={.spec.resourceRef.name}") == "" {
			return fmt.Errorf("there is none yet")
		}
		return nil
	})
	s.t.Logf("what the claim shows meanwhile:\n%s", s.kubectl("get", "threescalebackup", "nightly", "-o", "jsonpath={.status}"))
	r.shell("kubectl apply -k manifests/rbac\nkubectl -n 3scale wait threescalebackup/nightly --for=condition=BackupCompleted --timeout=5m")
	s.assertRuns(r, 5, "nightly-backup", "four from before it was uninstalled, one more")
}
