package compose

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/specs"
)

// composeVolume composes the PersistentVolumeClaim of the backup, unless the
// user brings one. A composed one that exists is kept whatever else is wrong:
// what is not desired, core deletes.
func (c *composition) composeVolume() {
	existing := c.observed.Composed[keyVolume]
	switch {
	case existing != nil:
		c.keepVolume(existing)
	case !c.passed() || c.usesExistingClaim():
	case c.backupVolume() != nil:
		c.keepVolume(c.backupVolume())
	default:
		c.desired.Resources[keyVolume] = specs.PVC(c.newVolume())
	}
	c.warnReclaimPolicy()
}

func (c *composition) newVolume() specs.Volume {
	d := c.destination()
	v := specs.Volume{
		Backup:       c.backup,
		Namespace:    c.namespace,
		VolumeName:   d.VolumeName,
		StorageClass: d.StorageClass,
		AccessModes:  d.AccessModes,
		NamespaceUID: c.survivalUID(),
	}
	if d.VolumeName != "" {
		named := c.required(requireVolume)
		class := named.text("spec", "storageClassName")
		v.StorageClass, v.AccessModes, v.Size = &class, named.accessModes(), capacityOf(named)
		return v
	}
	v.Size = *c.requested()
	if len(v.AccessModes) == 0 {
		v.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	}
	return v
}

// survivalUID is the UID of the Namespace if the claim is to outlive its composite.
func (c *composition) survivalUID() types.UID {
	if c.spec.DeletionPolicy == v1alpha1.DeletionDelete {
		return ""
	}
	return c.required(requireNamespace).uid()
}

// keepVolume emits the claim as it exists, grown if that is possible. The API
// server refuses every other change, and core would drop the whole answer.
func (c *composition) keepVolume(existing Object) {
	if existing == nil {
		return
	}
	v := specs.Volume{
		Backup:       c.backup,
		Namespace:    c.namespace,
		Size:         quantity(existing.text("spec", "resources", "requests", "storage")),
		VolumeName:   existing.text("spec", "volumeName"),
		AccessModes:  existing.accessModes(),
		NamespaceUID: c.survivalUID(),
	}
	if class, ok := existing.object("spec")["storageClassName"].(string); ok {
		v.StorageClass = &class
	}
	if c.required(requireNamespace) == nil {
		v.NamespaceUID = namespaceOwner(existing)
	}
	c.warnVolumeEdits(existing, v)
	c.grow(existing, &v)
	c.desired.Resources[keyVolume] = specs.PVC(v)
	if c.spec.DeletionPolicy == v1alpha1.DeletionDelete && namespaceOwner(existing) != "" {
		c.warnf(v1alpha1.ReasonDeletionPolicyNotEffective, "PersistentVolumeClaim %q stays when this backup is deleted, in spite of deletionPolicy %s: it is owned by its Namespace too, as an earlier backup of this name had it", existing.name(), v1alpha1.DeletionDelete)
	}
}

func namespaceOwner(object Object) types.UID {
	for _, owner := range object.objects("metadata", "ownerReferences") {
		if owner.text("kind") == "Namespace" {
			return types.UID(owner.text("uid"))
		}
	}
	return ""
}

func (c *composition) warnf(reason, format string, args ...any) {
	c.warnings = append(c.warnings, findingf(reason, format, args...)...)
}

// warnVolumeEdits tells which wishes of the spec an existing claim cannot follow.
func (c *composition) warnVolumeEdits(existing Object, v specs.Volume) {
	d := c.destination()
	ignored := func(field, is string) {
		c.warnf(v1alpha1.ReasonDestinationChangeIgnored, "%s has no effect: PersistentVolumeClaim %q exists (%s) and is kept, with the backups on it; for another destination make a new %s", field, existing.name(), is, v1alpha1.KindBackup)
	}
	if d.ClaimName != "" && d.ClaimName != existing.name() {
		ignored("claimName", "composed")
		return
	}
	if d.VolumeName != "" && v.VolumeName != "" && d.VolumeName != v.VolumeName {
		ignored("volumeName", "bound to "+v.VolumeName)
	}
	if d.VolumeName != "" {
		return // size, class and access modes are the volume's
	}
	if d.StorageClass != nil && v.StorageClass != nil && *d.StorageClass != *v.StorageClass {
		ignored("storageClass", "class "+*v.StorageClass)
	}
	if len(d.AccessModes) > 0 && !sameModes(d.AccessModes, v.AccessModes) {
		ignored("accessModes", "other access modes")
	}
}

func sameModes(a, b []corev1.PersistentVolumeAccessMode) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// grow raises the size where the API server would allow it, and else says why
// it stays.
func (c *composition) grow(existing Object, v *specs.Volume) {
	want := c.requested()
	if want == nil || c.destination().VolumeName != "" || want.Sign() <= 0 || want.Cmp(v.Size) == 0 {
		return
	}
	switch {
	case want.Cmp(v.Size) < 0:
		c.warnf(v1alpha1.ReasonDestinationChangeIgnored, "PersistentVolumeClaim %q has %s and cannot shrink to %s", existing.name(), v.Size.String(), want.String())
	case existing.text("status", "phase") != string(corev1.ClaimBound):
		c.warnf(v1alpha1.ReasonExpansionUnsupported, "PersistentVolumeClaim %q grows to %s once it is bound", existing.name(), want.String())
	case !c.expandable(v.StorageClass):
		c.warnf(v1alpha1.ReasonExpansionUnsupported, "PersistentVolumeClaim %q stays at %s: its StorageClass does not allow expansion to %s", existing.name(), v.Size.String(), want.String())
	default:
		v.Size = *want
	}
}

func (c *composition) expandable(class *string) bool {
	if class == nil {
		return false
	}
	allowed, _ := c.storageClass(*class)["allowVolumeExpansion"].(bool)
	return allowed
}

func (c *composition) storageClass(name string) Object {
	for _, class := range c.observed.Required[requireStorageClasses] {
		if class.name() == name {
			return class
		}
	}
	return nil
}

// warnReclaimPolicy warns of a volume that goes with its claim: deleting the
// claim or the namespace then deletes the backups. The message is the same
// before and after the claim is bound.
func (c *composition) warnReclaimPolicy() {
	claim := c.backupVolume()
	if c.usesExistingClaim() && claim == nil {
		return
	}
	policy := c.classOf(claim).text("reclaimPolicy")
	if bound := c.required(requireVolume); bound != nil {
		policy = bound.text("spec", "persistentVolumeReclaimPolicy")
	}
	if policy != string(corev1.PersistentVolumeReclaimDelete) {
		return
	}
	name := c.volumeClaimName()
	c.warnf(v1alpha1.ReasonReclaimPolicyDelete, "Deleting PersistentVolumeClaim %q, or its namespace, deletes the backups, since the reclaim policy of the volume is Delete; to keep them, run once it is bound: kubectl patch pv \"$(kubectl -n %s get pvc %s -o jsonpath='{.spec.volumeName}')\" -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'", name, c.namespace, name)
}

// classOf is the class that the backup's claim has, or will get.
func (c *composition) classOf(claim Object) Object {
	if name := claim.text("spec", "storageClassName"); name != "" {
		return c.storageClass(name)
	}
	if claim == nil && c.destination().StorageClass != nil {
		return c.storageClass(*c.destination().StorageClass)
	}
	for _, class := range c.observed.Required[requireStorageClasses] {
		if class.annotation("storageclass.kubernetes.io/is-default-class") == "true" {
			return class
		}
	}
	return nil
}
