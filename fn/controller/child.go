package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/confine"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/threescale"
)

// Children are the processes that do all work on what a tenant controls: the objects of a backup, Git,
// SOPS rules, templates and kustomize. The controller itself only decodes their answers, which are
// bounded.
type Children struct {
	// Program starts a child, which runs the Do of a commit.Worker.
	Program confine.Program
	// Limits apply to each child.
	Limits confine.Limits

	turns *turns
	looks *looks
	woken chan event.TypedGenericEvent[*v1alpha1.ThreeScaleRestore]
}

// NewChildren returns children of which atOnce run at the same time, and one for each namespace.
func NewChildren(program confine.Program, limits confine.Limits, atOnce int) *Children {
	const many = 1024
	c := &Children{Program: program, Limits: limits, looks: newLooks(), woken: make(chan event.TypedGenericEvent[*v1alpha1.ThreeScaleRestore], many)}
	c.turns = newTurns(atOnce, time.Now, func(who types.NamespacedName) {
		c.looks.call(who)
		obj := &v1alpha1.ThreeScaleRestore{}
		obj.Namespace, obj.Name = who.Namespace, who.Name
		select {
		case c.woken <- event.TypedGenericEvent[*v1alpha1.ThreeScaleRestore]{Object: obj}:
		default: // it looks by itself, after notYourTurn
		}
	})
	return c
}

// notYourTurn is when a restore that waits for its turn looks again, if nobody wakes it.
const notYourTurn = 30 * time.Second

// errNotYourTurn means that a restore has to wait for its turn.
var errNotYourTurn = errors.New("waiting for a turn")

// queued is the decision of a restore that waits for its turn.
func queued() restore.Wait {
	return restore.Wait{Message: "Waiting for its turn: other restores read and write Git repositories", Retry: notYourTurn}
}

// takeTurn reserves a place for a child process until endTurn. A restore that has a place keeps it.
func (w *work) takeTurn() error {
	if w.leave != nil {
		return nil
	}
	if w.leave = w.Children.turns.take(types.NamespacedName{Namespace: w.restore.Namespace, Name: w.restore.Name}); w.leave == nil {
		return errNotYourTurn
	}
	return nil
}

// endTurn gives the place back.
func (w *work) endTurn() {
	if w.leave != nil {
		w.leave()
		w.leave = nil
	}
}

// ask has a child process answer a request; doing says what it does, for messages. The error is a
// *commit.Failure if it could not be done, and a *restore.Problem if the child died.
func (w *work) ask(ctx context.Context, doing string, request commit.Request) (*commit.Answer, error) {
	if err := w.takeTurn(); err != nil {
		return nil, err
	}
	answer := &commit.Answer{}
	err := w.Children.Program.Run(ctx, w.Children.Limits, request, answer)
	var died *confine.DiedError
	switch {
	case errors.As(err, &died):
		return nil, restore.Failing(v1alpha1.ReasonLimitExceeded, "Cannot %s: %v; %s", doing, died, afterDeath(died.End))
	case err == nil:
		err = answer.Check(request)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot %s: %w", doing, err)
	case answer.Failure != nil && answer.Failure.Kind == commit.Crashed:
		return nil, fmt.Errorf("cannot %s: %w: this is a bug, please report it", doing, answer.Failure)
	case answer.Failure != nil:
		return nil, answer.Failure
	}
	return answer, nil
}

// afterDeath says what to do after a child has died.
func afterDeath(end confine.End) string {
	switch end {
	case confine.OutOfMemory, confine.OutOfSpace:
		return "look for what is large in the repository or the backup (references, files, .sops.yaml), or have the administrators of the controller raise its --child-memory"
	case confine.OutOfTime:
		return "check that the Git server answers and that the template of the commit message ends, or have the administrators of the controller raise its --child-timeout"
	default:
		return "the restore tries again; if this lasts, please report it as a bug"
	}
}

// built makes a tree of an answer, whose size is bounded. It refuses objects that do not belong in a
// tree of the namespace.
func built(answer *commit.BuiltTree) (*overlay.Tree, error) {
	tree := answer.Tree
	tree.Objects = map[overlay.Key]*unstructured.Unstructured{}
	for _, raw := range answer.Objects {
		object := &unstructured.Unstructured{}
		if err := utiljson.Unmarshal(raw, &object.Object); err != nil { // with whole numbers, as a cluster has them
			return nil, errors.New("cannot decode an object of the tree") // the error may quote a value
		}
		key := overlay.Key{Kind: object.GetKind(), Name: object.GetName()}
		if object.GetAPIVersion() != apiVersions()[key.Kind] || object.GetNamespace() != tree.Namespace || tree.Objects[key] != nil {
			return nil, fmt.Errorf("the child process answered with an object that no tree of namespace %q has", tree.Namespace)
		}
		tree.Objects[key] = object
	}
	return &tree, nil
}

// apiVersions are the API versions of the kinds in a tree.
func apiVersions() map[string]string {
	return map[string]string{threescale.APIManagerKind: threescale.APIManagerAPIVersion, threescale.KindSecret: "v1", threescale.KindConfigMap: "v1", threescale.KindPVC: "v1"}
}
