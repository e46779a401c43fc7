package compose

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

func (c *composition) destination() v1alpha1.BackupVolume {
	return c.spec.BackupDestination.PersistentVolumeClaim
}

// backupVolume is the PersistentVolumeClaim of the backup as it is now.
func (c *composition) backupVolume() Object {
	if composed := c.observed.Composed[keyVolume]; composed != nil {
		return composed
	}
	return c.required(requireBackupVolume)
}

func checkDestination(c *composition) []finding {
	name := c.volumeClaimName()
	if name == threescale.FileStorageClaimName {
		return findingf(v1alpha1.ReasonDestinationIsFileStorage, "PersistentVolumeClaim %q is the file storage that is to be backed up; name another one", name)
	}
	claim := c.backupVolume()
	if claim == nil {
		if c.usesExistingClaim() {
			return findingf(v1alpha1.ReasonDestinationNotFound, "PersistentVolumeClaim %q was not found in namespace %q; create it, or correct claimName", name, c.namespace)
		}
		return nil
	}
	switch {
	case claim.terminating():
		return findingf(v1alpha1.ReasonDestinationUnusable, "PersistentVolumeClaim %q is being deleted; its data are gone with it unless its volume is retained", name)
	case claim.text("status", "phase") == "Lost":
		return findingf(v1alpha1.ReasonDestinationUnusable, "PersistentVolumeClaim %q has lost its volume", name)
	case !writable(claim.accessModes()):
		return findingf(v1alpha1.ReasonDestinationNotWritable, "PersistentVolumeClaim %q has no access mode that allows writing", name)
	}
	if c.usesExistingClaim() || c.observed.Composed[keyVolume] != nil {
		return nil
	}
	return c.checkAdoption(claim)
}

// usesExistingClaim tells that runs go to a claim that the user made.
func (c *composition) usesExistingClaim() bool {
	return c.observed.Composed[keyVolume] == nil && c.destination().ClaimName != ""
}

// checkAdoption looks at a claim that has the name of the one to compose: an
// earlier ThreeScaleBackup of the same name may have left it behind.
func (c *composition) checkAdoption(claim Object) []finding {
	if claim.label(v1alpha1.LabelBackup) != specs.LabelValue(c.backup) {
		return findingf(v1alpha1.ReasonDestinationTaken, "PersistentVolumeClaim %q exists and is not of this backup; rename the backup, or use it with claimName", claim.name())
	}
	owner := controllerOf(claim)
	if owner == nil || owner.text("uid") == string(c.observed.Composite.UID) {
		return nil
	}
	return findingf(v1alpha1.ReasonDestinationTaken, "PersistentVolumeClaim %q still belongs to %s %q; it is adopted once that is gone", claim.name(), owner.text("kind"), owner.text("name"))
}

func controllerOf(object Object) Object {
	for _, owner := range object.objects("metadata", "ownerReferences") {
		if controller, _ := owner["controller"].(bool); controller {
			return owner
		}
	}
	return nil
}

// checkNamedVolume looks at the PersistentVolume that the claim is to bind to,
// as long as it is not bound to it.
func checkNamedVolume(c *composition) []finding {
	name := c.destination().VolumeName
	if name == "" || c.usesExistingClaim() || c.backupVolume().text("spec", "volumeName") != "" {
		return nil
	}
	if name == c.required(requireFileStorage).text("spec", "volumeName") {
		return findingf(v1alpha1.ReasonDestinationIsFileStorage, "PersistentVolume %q holds the file storage that is to be backed up; name another one", name)
	}
	volume := c.required(requireVolume)
	if volume == nil {
		return findingf(v1alpha1.ReasonVolumeNotFound, "PersistentVolume %q was not found; create it, or correct volumeName", name)
	}
	out := c.checkVolumeFree(volume)
	if len(out) > 0 {
		return out // what it is like is the affair of whoever has it
	}
	if !writable(volume.accessModes()) {
		out = append(out, findingf(v1alpha1.ReasonDestinationNotWritable, "PersistentVolume %q has no access mode that allows writing", name)...)
	}
	capacity, want := capacityOf(volume), c.requested()
	if want != nil && capacity.Cmp(*want) < 0 {
		out = append(out, findingf(v1alpha1.ReasonVolumeTooSmall, "PersistentVolume %q has %s and %s are requested; request less, or name a larger one", name, capacity.String(), want.String())...)
	}
	return out
}

// checkVolumeFree passes a volume that nobody claims, or that is reserved for
// the very claim that is to be composed.
func (c *composition) checkVolumeFree(volume Object) []finding {
	if volume.terminating() {
		return findingf(v1alpha1.ReasonVolumeNotAvailable, "PersistentVolume %q is being deleted", volume.name())
	}
	ref := volume.object("spec", "claimRef")
	if ref == nil {
		return nil
	}
	ours := ref.text("namespace") == c.namespace && ref.text("name") == specs.PVCName(c.backup)
	whose := "a PersistentVolumeClaim of another namespace" // which its author may not know
	if ref.text("namespace") == c.namespace {
		whose = fmt.Sprintf("PersistentVolumeClaim %q", ref.text("name"))
	}
	switch {
	case ours && ref.text("uid") == "":
		return nil
	case volume.text("status", "phase") == string(corev1.VolumeReleased):
		return findingf(v1alpha1.ReasonVolumeNotAvailable, "PersistentVolume %q was released by %s; if it may be used, run: kubectl patch pv %s --type=json -p '[{\"op\":\"replace\",\"path\":\"/spec/claimRef\",\"value\":{\"namespace\":%q,\"name\":%q}}]'", volume.name(), whose, volume.name(), c.namespace, specs.PVCName(c.backup))
	}
	return findingf(v1alpha1.ReasonVolumeNotAvailable, "PersistentVolume %q is bound to %s; name another one", volume.name(), whose)
}

// requested is the size that the spec requests; nil without one.
func (c *composition) requested() *resource.Quantity {
	if c.destination().Resources == nil {
		return nil
	}
	return &c.destination().Resources.Requests
}

func capacityOf(volume Object) resource.Quantity {
	return quantity(volume.text("spec", "capacity", "storage"))
}

// quantity reads a quantity that the API server wrote; zero where there is none.
func quantity(text string) resource.Quantity {
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return resource.Quantity{}
	}
	return q
}

func writable(modes []corev1.PersistentVolumeAccessMode) bool {
	return slices.ContainsFunc(modes, func(mode corev1.PersistentVolumeAccessMode) bool {
		return mode != corev1.ReadOnlyMany
	})
}

func onlySinglePod(claim Object) bool {
	modes := claim.accessModes()
	return len(modes) == 1 && modes[0] == corev1.ReadWriteOncePod
}
