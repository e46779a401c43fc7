package mover_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/mover"
)

// TestAnOpenStoreIsReadAndStaysOpen: the command line opens a bucket once, with credentials that no option names.
func TestAnOpenStoreIsReadAndStaysOpen(t *testing.T) {
	s := newStage(t, false, nil)
	store, err := archive.OpenVolume(s.inspect.Volume)
	require.NoError(t, err)
	defer store.Close()
	s.inspect.Volume, s.refill.Volume = "", ""
	_, err = s.runInspect()
	assert.Equal(t, v1alpha1.ReasonUsage, mover.Reason(err), "nothing is named")
	env := s.env()
	env.Store = store
	inspected, err := mover.Inspect(t.Context(), s.inspect, env)
	require.NoError(t, err)
	assert.Equal(t, runID, inspected.Run)
	refilled, err := mover.Refill(t.Context(), s.refill, env)
	require.NoError(t, err)
	assert.EqualValues(t, 2, refilled.WrittenFiles)
	runs, err := store.Runs(t.Context())
	require.NoError(t, err)
	assert.Len(t, runs, 1)
}
