//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// restoreScript is what the Jobs of APIManagerRestore do with a volume (the
// operator's pkg/restore/apimanager_restore.go): nine Secrets and the ConfigMaps
// are created unless they exist, the APIManager is handed over as a Secret and
// then created, and the files are copied.
const restoreScript = `
create() {
	[ -n "$(kubectl -n "$NAMESPACE" get "$1" "$2" --ignore-not-found)" ] || kubectl -n "$NAMESPACE" create -f "$BACKUP/$3"
}
for name in system-smtp system-seed backend-internal-api backend-listener system-events-hook system-app system-recaptcha zync system-master-apicast; do
	create secret "$name" "secrets/$name.json"
done
for name in apicast-environment system-environment; do
	create configmap "$name" "configmaps/$name.json"
done
kubectl -n "$NAMESPACE" create secret generic restore-serialized-apimanager --from-file="$BACKUP/apimanager/apimanager-backup.json"
kubectl -n "$NAMESPACE" create -f "$BACKUP/apimanager/apimanager-backup.json"
rsync -rlv "$BACKUP"/system-filestorage-pvc/* "$FILES/" >/dev/null
diff -r "$SOURCE" "$FILES"
`

// TestVolumeReadsAsAPIManagerRestoreDoes: the 3scale operator can restore from
// a volume that we wrote.
func TestVolumeReadsAsAPIManagerRestoreDoes(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	w.untilCompleted(nightly)

	target := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace + "-restored"}}
	require.NoError(t, shared.Client().Create(t.Context(), target))
	backup := w.volumeDir(nightlyVolume)
	w.shell(restoreScript, "NAMESPACE="+target.Name, "BACKUP="+backup, "FILES="+t.TempDir(), "SOURCE="+w.files)

	for _, name := range []string{"system-seed", "system-app", "zync", "backend-listener"} {
		got := &corev1.Secret{}
		require.NoError(t, shared.Client().Get(t.Context(), types.NamespacedName{Namespace: target.Name, Name: name}, got))
		assert.True(t, sameSecret(w.secret(name), got), "Secret %s is another", name)
	}
	// All thirteen are there, also those that APIManagerRestore leaves to the user.
	for _, name := range []string{"system-database", "backend-redis", "system-redis", "system-memcache"} {
		data, err := os.ReadFile(filepath.Join(backup, "secrets", name+".json"))
		require.NoError(t, err)
		assert.True(t, json.Valid(data), "%s.json", name)
	}
}
