//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// TestManyClaims: hundreds of scheduled backups on one Crossplane. At rest
// nobody calls the function before a TTL ends, the first of which takes nine
// minutes; one change of what they all back up has it called for each. Nothing
// runs beside it.
func TestManyClaims(t *testing.T) {
	w := newTenant(t)
	manyClaims := load(100, 500)
	require.NoError(t, shared.RestartFunction(t.Context()))
	started, calls := time.Now(), functionCalls(t)
	var stream strings.Builder
	for i := range manyClaims {
		stream.WriteString("---\n" + claim(fmt.Sprintf("backup-%03d", i), beside(fmt.Sprintf(`schedule: "%d %d 1 1 *", retention: {keepLast: 7}`, i%60, i/60))))
	}
	require.NoError(t, w.apply(stream.String()))
	w.underLoad("all backups to know their next run", func(ctx context.Context) error {
		var list unstructured.UnstructuredList
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: v1alpha1.Group, Version: "v1alpha1", Kind: v1alpha1.KindBackup + "List"})
		if err := w.user.List(ctx, &list, client.InNamespace(w.namespace)); err != nil {
			return err
		}
		waiting := manyClaims
		for i := range list.Items {
			if status(&list.Items[i], "nextRunTime") != nil && condition(&list.Items[i], "Ready")["status"] == "True" {
				waiting--
			}
		}
		if waiting > 0 {
			return fmt.Errorf("%d of %d are not", waiting, manyClaims)
		}
		return nil
	})
	settled := w.untilQuiet(20 * time.Second)
	t.Logf("%d backups were applied and settled in %s with %.0f calls of the function", manyClaims, settled.Sub(started).Round(time.Second), functionCalls(t)-calls)

	calls = functionCalls(t)
	rest := time.Minute
	w.untilQuiet(rest)
	require.Less(t, time.Since(started), 9*time.Minute, "no TTL can have ended")
	assert.Zero(t, functionCalls(t)-calls, "%s of rest", rest)

	w.admin("label", "secret", "system-app", "touched=yes")
	w.untilQuiet(20 * time.Second)
	touched := functionCalls(t) - calls
	logCore(t)
	assert.GreaterOrEqual(t, touched, float64(manyClaims), "each backup has looked at what changed")
	assert.LessOrEqual(t, touched, float64(3*manyClaims))
	memory := peakMemoryKiB(t, shared.Function().PID())
	t.Logf("one change of a Secret of all of them: %.0f calls; the function took %d KiB of memory at most", touched, memory)
	assert.LessOrEqual(t, memory, maxFunctionKiB)
	w.admin("delete", "threescalebackups", "--all")
}
