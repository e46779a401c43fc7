package restore

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

// resync has Zync make the Routes of all domains again, before the restore waits for Available. The
// operator's Available needs six Routes, five of which Zync makes, and a database that already exists
// sends Zync no events. The operator's own restore does the same at this point
// (controllers/apps/apimanagerrestore_logic_reconciler.go:156-161).
func resync(o *State) Decision {
	if !resyncs(o) || o.Restore.Status.Resynced {
		return nil
	}
	if !o.Resync.Exists && !o.Resync.Ending && !sidekiqReady(o.APIManager) {
		return inTime(o, v1alpha1.ReasonResyncFailed, wait("Waiting for %s to be ready, which has Zync make the Routes%s", threescale.Sidekiq, operatorSays(o.APIManager)))
	}
	telling := work{
		pod: o.Resync, start: StartResync, drop: DropResync,
		doing:     "having Zync make the Routes",
		completed: o.Resync.Complete,
		reason:    v1alpha1.ReasonResyncFailed,
		message:   fmt.Sprintf("%s; its log says why: kubectl -n %s logs job/%s", o.Resync.Message, o.Restore.Namespace, o.Resync.Name),
	}
	switch d := telling.decide(o).(type) {
	case nil:
		return Act{NoteResync}
	case Stop:
		return lasting(o, d)
	default:
		return d
	}
}

// leastBetweenResyncs gives Zync time to make the Routes before it is told again.
const leastBetweenResyncs = time.Minute

// resyncAgain tells Zync once more if the Routes do not come. The command succeeds even if it could
// not enqueue anything (3scale/porta: app/lib/event_store/repository.rb), and System's database may
// have got its new domains in the meantime.
func resyncAgain(o *State, d Wait) Decision {
	if !resyncs(o) || !o.Restore.Status.Resynced || !routesMissing(o.APIManager) {
		return d
	}
	if requestedAgain(o.Restore) {
		return Act{DropResync}
	}
	after := o.Resync.EndedAt.Add(max(o.Restore.GetRetryInterval(), leastBetweenResyncs)).Sub(o.Now)
	if after <= 0 {
		return Act{DropResync}
	}
	d.Retry = min(d.Retry, max(after, time.Second))
	return d
}

// resyncs reports whether the restore waits for Routes that Zync makes.
func resyncs(o *State) bool {
	return o.Restore.Spec.KustomizationRef != nil && o.Restore.ResyncsZyncDomains() && threescale.ZyncIsEnabled(o.APIManager)
}

// sidekiqReady reports whether the operator calls sidekiq ready, as its own restore waits for.
func sidekiqReady(apiManager *unstructured.Unstructured) bool {
	return slices.Contains(deployments(apiManager, "ready"), threescale.Sidekiq)
}
