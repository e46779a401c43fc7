package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/runtime/patch"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/specs"
)

// maxActions bounds the actions of one call. There are fewer steps than this.
const maxActions = 32

// work is the work on one restore in one call of Reconcile.
type work struct {
	*Reconciler
	restore *v1alpha1.ThreeScaleRestore
	patcher *patch.SerialPatcher
	// tenant is the client for the restore's namespace. It impersonates the restore's ServiceAccount.
	tenant client.Client

	state restore.State
	// tree is the tree of the objects that were handed over, without files; nil until it is needed.
	tree *overlay.Tree
	// leave gives the place for a child process back; nil without a place.
	leave func()
}

// newWork prepares a call for a restore.
func (r *Reconciler) newWork(obj *v1alpha1.ThreeScaleRestore, patcher *patch.SerialPatcher) (*work, error) {
	w := &work{Reconciler: r, restore: obj, patcher: patcher, tenant: r.Client}
	account := w.accountName()
	if account == "" {
		return w, nil
	}
	config := rest.CopyConfig(r.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: fmt.Sprintf("system:serviceaccount:%s:%s", obj.Namespace, account)}
	var err error
	w.tenant, err = client.New(config, client.Options{Scheme: r.Client.Scheme(), Mapper: r.RESTMapper()})
	if err != nil {
		return nil, fmt.Errorf("cannot act as ServiceAccount %q: %w", account, err)
	}
	return w, nil
}

// accountName is the ServiceAccount that the restore impersonates; "" for the controller's own rights.
func (w *work) accountName() string {
	return cmp.Or(w.restore.Spec.ServiceAccountName, w.DefaultServiceAccount)
}

// proceed observes, decides, acts and saves, until there is nothing to do but wait.
func (w *work) proceed(ctx context.Context) (restore.Decision, error) {
	defer w.endTurn()
	for range maxActions {
		if err := w.observe(ctx); err != nil {
			return w.stopped(err)
		}
		decision := restore.Next(&w.state)
		due, acts := decision.(restore.Act)
		if !acts {
			return decision, nil
		}
		result, err := w.act(ctx, due.Action)
		if err != nil {
			return w.stopped(err)
		}
		w.state.Note(due.Action, result, w.Now())
		if err := w.save(ctx, w.patcher, w.restore); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("too many actions in one call: this is a bug, please report it")
}

// stopped makes a decision of a problem. Other errors stay what they are.
func (w *work) stopped(err error) (restore.Decision, error) {
	if problem, ok := errors.AsType[*restore.Problem](err); ok {
		return restore.Stop{Problem: restore.WithCommand(w.restore, problem)}, nil
	}
	if errors.Is(err, errNotYourTurn) {
		return queued(), nil
	}
	return nil, err
}

// act does one action.
func (w *work) act(ctx context.Context, action restore.Action) (result restore.Result, err error) {
	switch action {
	case restore.MakeSourcePVC:
		err = w.makeSourcePVC(ctx)
	case restore.AskRights:
		result.RightsMissing, err = w.askRights(ctx)
	case restore.ReadBranch:
		result.Branch, err = w.readBranch(ctx)
	case restore.StartInspect:
		err = w.startInspect(ctx)
	case restore.DropInspect:
		err = w.drop(ctx, specs.Inspecting)
	case restore.MakePlan:
		result.Plan, err = w.makePlan(ctx)
	case restore.MakeFileStorage:
		err = w.makeFileStorage(ctx)
	case restore.StartRefill:
		err = w.startRefill(ctx)
	case restore.DropRefill:
		err = w.drop(ctx, specs.Refilling)
	case restore.StartLoad:
		err = w.startLoad(ctx)
	case restore.DropLoad:
		err = w.drop(ctx, specs.Loading)
	case restore.Publish:
		result.Push, err = w.publish(ctx)
	case restore.AskFlux:
		err = w.askFlux(ctx)
	case restore.CompareLive:
		result.Holds, err = w.compareLive(ctx)
	case restore.StartResync:
		err = w.startResync(ctx)
	case restore.DropResync:
		err = w.drop(ctx, specs.Resyncing)
	case restore.CleanUp:
		err = w.cleanUp(ctx)
	case restore.DropPlan, restore.NoteLoad, restore.NoteResync, restore.Complete: // there is no more to them than their note
	}
	return result, err
}
