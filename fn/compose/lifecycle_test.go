package compose_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLifecycle(t *testing.T) {
	w := newWorld(t, "")
	w.reconcile()
	assert.Equal(t, "True", w.condition("PreflightPassed")["status"], w.condition("PreflightPassed"))
	assert.Nil(t, w.theJob(), "no Job starts before the snapshot exists")
	w.reconcile()
	require.NotNil(t, w.theJob())
	assert.Equal(t, "False", w.condition("BackupCompleted")["status"])
	run := w.succeed()
	assert.Equal(t, true, w.status("completed"))
	assert.Equal(t, "True", w.condition("BackupCompleted")["status"])
	assert.Nil(t, w.theJob(), "a Job that succeeded goes")
	assert.Equal(t, run, w.status("lastRun", "id"))
	w.reconcile()
	assert.Nil(t, w.theJob(), "a finished claim does nothing again")
}
