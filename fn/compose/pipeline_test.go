package compose_test

import (
	"context"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"

	"threescale.dev/backup/fn/simulate"
)

// beforeUs is a pipeline in which another function comes first and composes
// objects of its own.
type beforeUs struct {
	simulate.Runner
	t       *testing.T
	objects map[string]string
}

// RunFunction implements simulate.Runner.
func (p *beforeUs) RunFunction(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	req.Desired = &fnv1.State{Resources: map[string]*fnv1.Resource{}}
	for name, text := range p.objects {
		s, err := structpb.NewStruct(object(p.t, text).Object)
		require.NoError(p.t, err)
		req.Desired.Resources[name] = &fnv1.Resource{Resource: s, Ready: fnv1.Ready_READY_TRUE}
	}
	return p.Runner.RunFunction(ctx, req)
}

// TestOthersInThePipeline: what other functions compose is theirs, also if it
// looks like ours.
func TestOthersInThePipeline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.function.quick = true
	w.Function = &beforeUs{Runner: w.function, t: t, objects: map[string]string{
		"their-job": `{apiVersion: batch/v1, kind: Job, metadata: {name: theirs, namespace: 3scale, labels: {backup.threescale.dev/backup: nightly}},
			spec: {template: {spec: {containers: [{name: x, image: x}], volumes: [{name: backup, persistentVolumeClaim: {claimName: theirs}}]}}}}`,
		"their-secret": `{apiVersion: v1, kind: Secret, metadata: {name: theirs, namespace: 3scale}}`,
	}}
	for range 4 {
		_, err := w.Reconcile(t.Context())
		require.NoError(t, err)
	}
	theirs := w.Composed()["their-job"]
	require.NotNil(t, theirs)
	assert.NotContains(t, theirs.Object, "status")
	assert.Contains(t, w.Composed(), "their-secret")
	ours := 0
	for name, o := range w.Composed() {
		if o.GetKind() == "Job" && name != "their-job" {
			ours++
		}
	}
	assert.Equal(t, 1, ours)
	assert.Equal(t, "nightly-backup", w.status("backupPersistentVolumeClaimName"))
	w.Function = w.function // the other function is taken out of the pipeline: its Job goes
	_, err := w.Reconcile(t.Context())
	require.NoError(t, err, "a Job of theirs is not ours to keep")
	assert.NotContains(t, w.Composed(), "their-job")
}
