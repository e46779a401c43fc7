package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/crossplane/function-sdk-go/logging"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/uuid"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/cmd/internal/exit"
	"threescale.dev/backup/fn/function"
	"threescale.dev/backup/fn/simulate"
)

// simulateCommand runs a ThreeScaleBackup against manifests and directories.
type simulateCommand struct {
	Backup      string            `arg:"" type:"existingfile" help:"File with the ThreeScaleBackup."`
	Objects     string            `required:"" type:"existingdir" placeholder:"DIR" help:"Directory with the manifests of the installation."`
	Directory   map[string]string `placeholder:"PVC=DIR" help:"Directory that stands for the PersistentVolumeClaim of that name; may be repeated."`
	Composition string            `type:"existingfile" placeholder:"FILE" help:"File with the Composition, whose input.allow says what spec.job may ask for; without this flag, only what the shipped Composition allows."`
}

// Run prints what is composed, runs the Job's own command line, and prints the
// status.
func (s *simulateCommand) Run(ctx context.Context, c *console) error {
	backup, err := readBackup(s.Backup)
	if err != nil {
		return exit.Usage(err)
	}
	objects, err := readManifests(s.Objects)
	if err != nil {
		return exit.Usage(err)
	}
	if objects, err = inNamespace(objects, backup.GetNamespace()); err != nil {
		return exit.Usage(err)
	}
	w := simulate.NewWorld(function.New(logging.NewNopLogger()), backup, objects)
	for pvc, dir := range s.Directory {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return fmt.Errorf("cannot make the directory of PersistentVolumeClaim %q: %w", pvc, err)
		}
	}
	if s.Composition != "" {
		if w.Allow, err = allowedBy(s.Composition); err != nil {
			return exit.Usage(err)
		}
	}
	outcome, err := play(ctx, c, w, s.Directory)
	if c.json && outcome != nil {
		err = errors.Join(c.encode(outcome.status), err)
	}
	return err
}

// allowedBy returns input.allow of the Composition in a file.
func allowedBy(path string) (v1alpha1.Allow, error) {
	var input v1alpha1.Input
	objects, err := readManifests(path)
	if err != nil {
		return input.Allow, err
	}
	for _, object := range objects {
		steps, _, _ := unstructured.NestedSlice(object.Object, "spec", "pipeline")
		for _, step := range steps {
			fields, _ := step.(map[string]any)
			given, _ := fields["input"].(map[string]any)
			if given["kind"] != "Input" || given["apiVersion"] != v1alpha1.GroupVersion.String() {
				continue
			}
			if err := decodeStrictly(given, &input); err != nil {
				return input.Allow, fmt.Errorf("cannot read the input in %q: %w", path, err)
			}
			return input.Allow, nil
		}
	}
	return input.Allow, fmt.Errorf("cannot read %q: it holds no Composition with an input of kind Input (%s)", path, v1alpha1.GroupVersion)
}

// readBackup reads a ThreeScaleBackup and completes it as the API server and
// Crossplane would.
func readBackup(path string) (*unstructured.Unstructured, error) {
	objects, err := readManifests(path)
	if err != nil {
		return nil, err
	}
	for _, u := range objects {
		if u.GetKind() == v1alpha1.KindBackup && u.GroupVersionKind().Group == v1alpha1.Group {
			if err := admitBackup(u); err != nil {
				return nil, fmt.Errorf("cannot simulate %s %q: %w", v1alpha1.KindBackup, u.GetName(), err)
			}
			complete(u)
			return u, nil
		}
	}
	return nil, fmt.Errorf("cannot simulate %q: it holds no %s of %s", path, v1alpha1.KindBackup, v1alpha1.Group)
}

// admitBackup refuses fields that a ThreeScaleBackup does not have. The fields that
// Crossplane adds to each claim and composite are ignored.
func admitBackup(u *unstructured.Unstructured) error {
	spec, _, err := unstructured.NestedMap(u.Object, "spec")
	if err != nil {
		return errors.New("its spec is not an object")
	}
	for _, of := range []string{
		"claimRef", "compositeDeletePolicy", "compositionRef", "compositionRevisionRef", "compositionRevisionSelector", "compositionSelector", "compositionUpdatePolicy",
		"crossplane", "publishConnectionDetailsTo", "resourceRef", "resourceRefs", "writeConnectionSecretToRef",
	} {
		delete(spec, of)
	}
	return decodeStrictly(spec, &v1alpha1.ThreeScaleBackupSpec{})
}

func complete(u *unstructured.Unstructured) {
	if u.GetNamespace() == "" {
		u.SetNamespace("default")
	}
	if u.GetUID() == "" {
		u.SetUID(uuid.NewUUID())
	}
	if created := u.GetCreationTimestamp(); created.IsZero() {
		u.SetCreationTimestamp(metav1.Now())
	}
}

// inNamespace gives namespaced objects without a namespace that of the backup,
// as `kubectl apply -n` does, and adds the Namespace itself.
func inNamespace(objects []*unstructured.Unstructured, namespace string) ([]*unstructured.Unstructured, error) {
	has := false
	seen := map[manifestKey]bool{}
	for _, u := range objects {
		k, isKnown := knownKinds()[u.GetKind()]
		if u.GetNamespace() == "" && (k.namespaced || !isKnown) {
			u.SetNamespace(namespace)
		}
		key := keyOf(u)
		if seen[key] {
			return nil, fmt.Errorf("%s %q is there twice, in namespace %q and without one: take one of them out", key.kind, key.name, namespace)
		}
		seen[key] = true
		has = has || (u.GetKind() == "Namespace" && u.GetName() == namespace)
	}
	if has {
		return objects, nil
	}
	return append(objects, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace, "uid": "simulated"}}}), nil
}

// outcome is how a simulation ended.
type outcome struct {
	status map[string]any
	result *job.Result
	// warning is the message of condition Warning before the run ended, such as what is
	// not in the backup; "" without one.
	warning string
}

// play reconciles until nothing changes, and runs each Job that is composed.
func play(ctx context.Context, c *console, w *simulate.World, dirs map[string]string) (*outcome, error) {
	draw, end := c.progress()
	node := &simulate.Node{PVCs: dirs, Progress: draw}
	out := &outcome{}
	before := ""
	for {
		if _, err := w.Reconcile(ctx); err != nil {
			return nil, exit.Usage(err)
		}
		out.status, _ = w.Composite.Object["status"].(map[string]any)
		printComposed(c, w)
		warning := warningOf(w.Composite)
		result, ran, err := node.RunJob(ctx, w)
		if ran {
			end()
			out.warning = warning
			if result.Run != "" {
				out.result = &result // a copy or a verification that follows has another
			}
			if err != nil {
				_, reconcileErr := w.Reconcile(ctx)
				out.status, _ = w.Composite.Object["status"].(map[string]any)
				printConditions(c, w.Composite)
				return out, errors.Join(err, reconcileErr)
			}
			continue
		}
		if now := fmt.Sprint(out.status, len(w.Composed())); now != before {
			before = now
			continue
		}
		printConditions(c, w.Composite)
		return out, verdict(w.Composite)
	}
}

// printComposed prints what exists, one line a kind.
func printComposed(c *console, w *simulate.World) {
	counts := map[string]int{}
	for _, object := range w.Composed() {
		counts[object.GetKind()]++
	}
	var parts []string
	for kind, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, kind))
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		parts = []string{"nothing"}
	}
	c.sayf("Composed: %s", strings.Join(parts, ", "))
}

func printConditions(c *console, backup *unstructured.Unstructured) {
	for _, condition := range v1alpha1.ConditionsOf(backup) {
		c.sayf("%-16s %-6s %-12s %s", condition.Type, condition.Status, condition.Reason, condition.Message)
	}
}

// warningOf returns the message of condition Warning; "" unless the condition is True.
func warningOf(backup *unstructured.Unstructured) string {
	if warning := meta.FindStatusCondition(v1alpha1.ConditionsOf(backup), v1alpha1.ConditionWarning); warning != nil && warning.Status == metav1.ConditionTrue {
		return warning.Message
	}
	return ""
}

// verdict returns an error unless the backup completed.
func verdict(backup *unstructured.Unstructured) error {
	if completed, _, _ := unstructured.NestedBool(backup.Object, "status", "completed"); completed {
		return nil
	}
	if passed := meta.FindStatusCondition(v1alpha1.ConditionsOf(backup), v1alpha1.ConditionPreflightPassed); passed != nil && passed.Status == metav1.ConditionFalse {
		return exit.Usage(fmt.Errorf("no backup was made: %s (%s)", passed.Message, passed.Reason))
	}
	return exit.With(job.ExitIO, errors.New("the backup did not complete"))
}
