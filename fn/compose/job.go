package compose

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// jobFields are those that specs.Job sets. The rest of an observed Job belongs
// to the API server and to controllers.
var jobFields = [...]string{"activeDeadlineSeconds", "backoffLimit", "podFailurePolicy", "template"}

// frozenJob emits an observed Job as it is: its template cannot change, and a
// run goes on as it was started whatever the spec says now.
func frozenJob(observed Object) *unstructured.Unstructured {
	spec := map[string]any{}
	for _, field := range jobFields {
		if value, ok := observed.object("spec")[field]; ok {
			spec[field] = value
		}
	}
	if template := observed.object("spec", "template"); template != nil {
		spec["template"] = map[string]any{
			"metadata": map[string]any{"labels": ownLabels(template)},
			"spec":     map[string]any(template.object("spec")),
		}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1",
		"kind":       "Job",
		"metadata": map[string]any{
			"name":      observed.name(),
			"namespace": observed.text("metadata", "namespace"),
			"labels":    ownLabels(observed),
		},
		"spec": spec,
	}}
}

// ownLabels are the labels that we set.
func ownLabels(object Object) map[string]any { return own(object.object("metadata", "labels")) }

// own are those labels or annotations that we set.
func own(all map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range all {
		if strings.HasPrefix(key, v1alpha1.Group+"/") {
			out[key] = value
		}
	}
	return out
}

func isActiveJob(object Object) bool {
	return object.text("kind") == "Job" && !jobComplete(object) && !jobFailed(object)
}

func jobComplete(object Object) bool {
	return object.condition("Complete").text("status") == statusTrue
}

func jobFailed(object Object) bool { return object.condition("Failed").text("status") == statusTrue }

// files are the paths of the snapshot that the objects Secret holds.
func (r *run) files() []string {
	paths := []string{job.DescriptionFile, job.APIManagerFile}
	for _, object := range threescale.ConfigMaps() {
		paths = append(paths, job.ConfigMapFile(object.Name))
	}
	for source := range r.copies {
		paths = append(paths, job.SecretMetadataFile(source))
	}
	held := r.objects.object("data")
	return slices.DeleteFunc(paths, func(path string) bool {
		_, ok := held[specs.ObjectKey(path)]
		return !ok
	})
}

// jobInput gathers what the Job is made of. All of the snapshot exists.
func (c *composition) jobInput(r *run) specs.JobInput {
	in := specs.JobInput{
		Run:          r.spec(c),
		Image:        c.observed.Image,
		VolumeClaim:  c.volumeClaimName(),
		Settings:     c.spec.Job,
		Inconsistent: r.inconsistent,
		AssignsUID:   c.assignsUID(),
		Files:        r.files(),
		Known:        c.knownManifests(),
		ProveLinks:   c.damageKnown(),
		Retention:    c.retention(),
	}
	if c.spec.Encryption != nil {
		in.Recipients = c.spec.Encryption.Age.Recipients
	}
	if !c.skipsFileStorage() {
		in.FileStorageClaim = threescale.FileStorageClaimName
		if specs.SingleNode(c.required(requireFileStorage).accessModes()) {
			in.FileStorageBeside = threescale.FileStoragePodSelector(threescale.Version(c.apiManager()))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.copies)) {
		in.Copies = append(in.Copies, specs.Copy{
			Name:   specs.SecretCopyName(in.Run, name),
			Source: name,
			Keys:   slices.Collect(maps.Keys(dataOf(r.copies[name]))),
		})
	}
	return in
}

// assignsUID tells whether the cluster assigns UIDs to the namespace's pods.
func (c *composition) assignsUID() bool {
	return c.required(requireNamespace).annotation(specs.UIDRangeAnnotation) != ""
}
