package render

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/function"
	"threescale.dev/backup/fn/simulate"
	"threescale.dev/backup/test/dataset"
)

// Figures of the run that the examples report: those of data set M.
const (
	runFiles = 3021
	runBytes = 92331122
)

// stage is a simulated cluster on which a scenario plays.
type stage struct {
	*simulate.World

	scenario Scenario
	claim    *unstructured.Unstructured
	clock    time.Time
	// others are the objects that nobody composed, in their order.
	others []*unstructured.Unstructured
}

// newStage returns the cluster of a scenario at the moment at which its claim
// has just been applied.
func newStage(root string, s Scenario) (*stage, error) {
	claim, err := readObject(filepath.Join(root, "examples", s.Name, "claim.yaml"))
	if err != nil {
		return nil, err
	}
	xr, err := composite(root, s, claim)
	if err != nil {
		return nil, err
	}
	st := &stage{scenario: s, claim: claim, clock: created().Add(time.Second)}
	fn := function.New(logging.NewNopLogger())
	fn.Now = func() time.Time { return st.clock }
	st.World = simulate.NewWorld(fn, xr, nil)
	st.Now = fn.Now
	if st.Image, err = inputImage(root, s); err != nil {
		return nil, err
	}
	options := s.Installation
	options.Seed = 1
	for _, object := range dataset.Installation(options) {
		st.add(object)
	}
	for _, text := range append(storageClasses(), s.Objects...) {
		object, err := parseObject([]byte(text))
		if err != nil {
			return nil, err
		}
		st.add(object)
	}
	return st, nil
}

// add puts an object that nobody composed.
func (s *stage) add(object *unstructured.Unstructured) {
	object.SetManagedFields(nil)
	if object.GetUID() == "" {
		object.SetUID(stableUID(object.GetKind(), object.GetName()))
	}
	if object.GetResourceVersion() == "" {
		object.SetResourceVersion("100000")
	}
	s.others = append(s.others, object)
	s.Put(object)
}

// reconcile lets Crossplane reconcile once, a second later.
func (s *stage) reconcile() error {
	s.clock = s.clock.Add(time.Second)
	if _, err := s.Reconcile(context.Background()); err != nil {
		return fmt.Errorf("cannot play scenario %q: %w", s.scenario.Name, err)
	}
	for name, object := range s.Composed() {
		if strings.HasPrefix(string(object.GetUID()), "uid-") {
			object.SetUID(stableUID(s.scenario.Flavour(), name))
		}
		claimComposed(s.Composite, object, name)
	}
	return nil
}

// snapshot plays until the snapshot exists.
func (s *stage) snapshot() error { return s.reconcile() }

// jobDone plays until the Job is complete and has reported.
func (s *stage) jobDone() error {
	for range 2 { // the snapshot, the Job
		if err := s.reconcile(); err != nil {
			return err
		}
	}
	s.bindVolume()
	started := s.clock
	s.clock = s.clock.Add(40 * time.Second)
	for _, object := range s.Composed() {
		switch object.GetKind() {
		case "Job":
			s.complete(object, started)
		case "ConfigMap":
			if err := s.report(object, started); err != nil {
				return err
			}
		}
	}
	return nil
}

// firstRunThenTrigger plays a whole first run, and then sets the trigger.
func (s *stage) firstRunThenTrigger() error {
	trigger, _, err := unstructured.NestedString(s.claim.Object, "spec", "trigger")
	if err != nil {
		return fmt.Errorf("cannot read the trigger of example %q: %w", s.scenario.Name, err)
	}
	unstructured.RemoveNestedField(s.Composite.Object, "spec", "trigger")
	if err := s.jobDone(); err != nil {
		return err
	}
	for range 2 { // the run is recorded, and nothing is left to do
		if err := s.reconcile(); err != nil {
			return err
		}
	}
	return unstructured.SetNestedField(s.Composite.Object, trigger, "spec", "trigger")
}

// thinnedOut plays the run of the first slot, after which the mover removed others.
func (s *stage) thinnedOut() error {
	if err := s.reconcile(); err != nil {
		return err
	}
	s.clock = slot()
	if err := s.jobDone(); err != nil {
		return err
	}
	report := s.composedOne("ConfigMap")
	result, err := job.ParseResult(texts(report), report.GetLabels()[v1alpha1.LabelRun])
	if err != nil {
		return err
	}
	result.Removed = []string{"20261108t020000z-0b5c3f11", "20261109t020000z-9e0d7a42"}
	result.FreedBytes = 5_310_464
	return write(report, job.KeyResult, result)
}

// damageFound plays a run, and a week later a verification that finds damage.
func (s *stage) damageFound() error {
	if err := s.jobDone(); err != nil {
		return err
	}
	if err := s.reconcile(); err != nil { // the run is recorded
		return err
	}
	s.clock = verifySlot()
	for range 2 { // the report, the Job
		if err := s.reconcile(); err != nil {
			return err
		}
	}
	s.complete(s.composedOne("Job"), s.clock)
	for _, object := range s.Composed() {
		if object.GetLabels()[v1alpha1.LabelVerification] == "" || object.GetKind() != "ConfigMap" {
			continue
		}
		return write(object, job.KeyVerification, job.Verification{
			Completed: true, StartTime: s.clock, CompletionTime: s.clock.Add(time.Minute), Runs: 12, Files: runFiles, Bytes: runBytes,
			DamagedRuns: []string{"20261122t020000z-2a74c2d9"},
			Problems:    []string{"trees/8a7d/files/tenant-001/2026/01/02/logo-0123456789abcdef.png: changed"},
		})
	}
	return fmt.Errorf("cannot play scenario %q: no verification started", s.scenario.Name)
}

// copyDue plays a run, and then its copy until the Job is to be composed.
func (s *stage) copyDue() error {
	if err := s.jobDone(); err != nil {
		return err
	}
	for range 2 { // the run is recorded, and the report of the copy is there
		if err := s.reconcile(); err != nil {
			return err
		}
	}
	return nil
}

// composedOne is the composed object of a kind of which there is one.
func (s *stage) composedOne(kind string) *unstructured.Unstructured {
	for _, object := range s.observed() {
		if object.GetKind() == kind {
			return object
		}
	}
	return &unstructured.Unstructured{Object: map[string]any{}}
}

func texts(configMap *unstructured.Unstructured) map[string]string {
	out, _, _ := unstructured.NestedStringMap(configMap.Object, "data")
	return out
}

// write writes under a key of a report, as the mover does.
func write(report *unstructured.Unstructured, key string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("cannot encode %s: %w", key, err)
	}
	return unstructured.SetNestedField(report.Object, string(data), "data", key)
}

// bindVolume does the provisioner's work for the composed PersistentVolumeClaim.
func (s *stage) bindVolume() {
	for _, pvc := range s.Composed() {
		spec, _ := pvc.Object["spec"].(map[string]any)
		if pvc.GetKind() != "PersistentVolumeClaim" || spec["volumeName"] != nil {
			continue
		}
		name := "pvc-" + string(pvc.GetUID())
		size, _, _ := unstructured.NestedString(spec, "resources", "requests", "storage")
		spec["volumeName"] = name
		pvc.Object["status"] = map[string]any{
			"phase": "Bound", "accessModes": spec["accessModes"], "capacity": map[string]any{"storage": size},
		}
		s.add(&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1",
			"kind":       "PersistentVolume",
			"metadata":   map[string]any{"name": name},
			"spec": map[string]any{
				"accessModes": spec["accessModes"],
				"capacity":    map[string]any{"storage": size},
				"claimRef": map[string]any{
					"apiVersion": "v1", "kind": pvc.GetKind(), "name": pvc.GetName(),
					"namespace": pvc.GetNamespace(), "uid": string(pvc.GetUID()),
				},
				"csi":                           map[string]any{"driver": "csi.example.com", "volumeHandle": name},
				"persistentVolumeReclaimPolicy": "Retain",
				"storageClassName":              spec["storageClassName"],
			},
			"status": map[string]any{"phase": "Bound"},
		}})
	}
}

// complete does the Job controller's work.
func (s *stage) complete(object *unstructured.Unstructured, started time.Time) {
	at := s.clock.Format(time.RFC3339)
	object.Object["status"] = map[string]any{
		"startTime":      started.Format(time.RFC3339),
		"completionTime": at,
		"succeeded":      int64(1),
		"ready":          int64(0),
		"conditions": []any{
			map[string]any{"type": "SuccessCriteriaMet", "status": "True", "reason": "CompletionsReached", "lastTransitionTime": at},
			map[string]any{"type": "Complete", "status": "True", "reason": "CompletionsReached", "lastTransitionTime": at},
		},
	}
}

// report writes what the mover reports of a run that went well.
func (s *stage) report(object *unstructured.Unstructured, started time.Time) error {
	run := object.GetLabels()[v1alpha1.LabelRun]
	err := write(object, job.KeyResult, job.Result{
		Run:            run,
		Completed:      true,
		StartTime:      started,
		CompletionTime: s.clock.Add(-time.Second),
		Files:          runFiles,
		Bytes:          runBytes,
		StoredBytes:    runBytes,
		ManifestSHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(run))),
	})
	if err != nil {
		return err
	}
	return write(object, job.KeyProgress, v1alpha1.Progress{
		Phase: "Sync", FilesDone: runFiles, FilesTotal: runFiles, BytesDone: runBytes, BytesTotal: runBytes,
	})
}

// observed are the composed objects that exist, by resource name.
func (s *stage) observed() []*unstructured.Unstructured {
	composed := s.Composed()
	out := make([]*unstructured.Unstructured, 0, len(composed))
	for _, name := range slices.Sorted(maps.Keys(composed)) {
		out = append(out, composed[name])
	}
	return out
}

// required are the objects that Crossplane finds when the function asks for
// something: the installation, the storage, and the backup's own PVC.
func (s *stage) required() []*unstructured.Unstructured {
	out := slices.Clone(s.others)
	for _, object := range s.observed() {
		if object.GetKind() == "PersistentVolumeClaim" {
			out = append(out, object)
		}
	}
	return out
}

// stableUID derives a UID in the form of a random UUID.
func stableUID(parts ...string) types.UID {
	d := sha256.Sum256([]byte(strings.Join(parts, "/")))
	d[6], d[8] = d[6]&0x0f|0x40, d[8]&0x3f|0x80
	return types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", d[:4], d[4:6], d[6:8], d[8:10], d[10:16]))
}
