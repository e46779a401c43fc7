package compose_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"threescale.dev/backup/fn/api/v1alpha1"
)

func TestReadersOfTheVolumeInUse(t *testing.T) {
	t.Parallel()
	pvc := func(name string) string {
		return `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: ` + name + `, namespace: 3scale, uid: u-` + name + `}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}, status: {phase: Bound}}`
	}
	w := newWorld(t, `{backupDestination: {persistentVolumeClaim: {claimName: mine}}, retention: {keepLast: 1}}`)
	w.Put(object(t, pvc("mine")))
	w.Put(object(t, pvc("other")))
	w.untilJob()
	w.setSpec("other", "backupDestination", "persistentVolumeClaim", "claimName")
	w.Put(object(t, `{apiVersion: batch/v1, kind: Job, metadata: {name: inspect, namespace: 3scale, labels: {backup.threescale.dev/reads: mine, backup.threescale.dev/restore: dr}}}`))
	w.reconcileAll()
	assert.Equal(t, "dr", w.Composed()["report/"+w.runID()].GetAnnotations()[v1alpha1.AnnotationReaders])
}

func TestReadersWhenRetentionIsRemovedMidRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`retention: {keepLast: 1}`))
	w.untilJob()
	delete(w.Composite.Object["spec"].(map[string]any), "retention")
	w.Put(object(t, `{apiVersion: batch/v1, kind: Job, metadata: {name: inspect, namespace: 3scale, labels: {backup.threescale.dev/reads: nightly-backup, backup.threescale.dev/restore: dr}}}`))
	w.reconcileAll()
	assert.Equal(t, "dr", w.Composed()["report/"+w.runID()].GetAnnotations()[v1alpha1.AnnotationReaders])
}

func TestManyReadersAreNotAllTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`retention: {keepLast: 1}`))
	for i := range 100 {
		w.Put(object(t, fmt.Sprintf(`{apiVersion: batch/v1, kind: Job, metadata: {name: j%d, namespace: 3scale,
			labels: {backup.threescale.dev/reads: nightly-backup, backup.threescale.dev/restore: r%d}}}`, i, i)))
	}
	w.untilJob()
	assert.Less(t, len(w.condition("Warning")["message"].(string)), 4<<10)
	assert.Less(t, len(w.Composed()["report/"+w.runID()].GetAnnotations()[v1alpha1.AnnotationReaders]), 1<<10)
}
