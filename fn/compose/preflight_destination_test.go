package compose_test

import (
	"fmt"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// pvcYAML is a PersistentVolumeClaim with more metadata and status.
func pvcYAML(name, metadata, mode, status string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: %s, namespace: 3scale, uid: uid-of-%s%s},
		spec: {accessModes: [%s], storageClassName: standard, resources: {requests: {storage: 10Gi}}}, status: {phase: %s}}`, name, name, metadata, mode, status)
}

func withPVC(name, metadata, mode, status string) func(*world) {
	return func(w *world) { w.Put(object(w.t, pvcYAML(name, metadata, mode, status))) }
}

// destinationRefusals: the PVC of the backup.
func destinationRefusals() map[string]refusal {
	const ours = `, labels: {backup.threescale.dev/backup: nightly}`
	return map[string]refusal{
		"PVCTaken": {
			reason: "somebody else's data are on it", arrange: withPVC("nightly-backup", "", "ReadWriteOnce", "Bound"),
			want: v1alpha1.ReasonDestinationTaken, holds: []string{`"nightly-backup"`, "claimName"},
		},
		"PVCTakenByAnotherBackup": {
			reason:  "its label names another",
			arrange: withPVC("nightly-backup", `, labels: {backup.threescale.dev/backup: other}`, "ReadWriteOnce", "Bound"),
			want:    v1alpha1.ReasonDestinationTaken,
		},
		"PVCOfEarlierComposite": {
			reason: "the composite of a claim that was deleted a moment ago still holds it: adopting it now would be refused by core, with an error that says nothing",
			arrange: withPVC("nightly-backup", ours+`, ownerReferences: [{apiVersion: backup.threescale.dev/v1alpha1,
				kind: XThreeScaleBackup, name: nightly-old, uid: old, controller: true}]`, "ReadWriteOnce", "Bound"),
			want: v1alpha1.ReasonDestinationTaken, holds: []string{"nightly-old", "once that is gone"},
		},
		"PVCIsFileStorage": {
			reason: "the backup would be written into what it backs up", spec: destination(`claimName: system-storage`),
			want: v1alpha1.ReasonDestinationIsFileStorage, holds: []string{`"system-storage"`},
		},
		"PVCNotFound": {
			reason: "a typing error", spec: destination(`claimName: backups`),
			want: v1alpha1.ReasonDestinationNotFound, holds: []string{`"backups"`, "claimName"},
		},
		"PVCOfAnotherNamespace": {
			reason: "a PVC of another namespace is not there for us", spec: destination(`claimName: backups`),
			arrange: func(w *world) {
				pvc := object(w.t, pvcYAML("backups", "", "ReadWriteOnce", "Bound"))
				pvc.SetNamespace("other")
				w.Put(pvc)
			},
			want: v1alpha1.ReasonDestinationNotFound,
		},
		"PVCTerminating": {
			reason: "what is written to it is lost", spec: destination(`claimName: backups`),
			arrange: withPVC("backups", `, deletionTimestamp: "2026-11-22T12:00:00Z"`, "ReadWriteOnce", "Bound"),
			want:    v1alpha1.ReasonDestinationUnusable, holds: []string{"being deleted"},
		},
		"AdoptablePVCTerminating": {
			reason:  "likewise for one of our own",
			arrange: withPVC("nightly-backup", ours+`, deletionTimestamp: "2026-11-22T12:00:00Z"`, "ReadWriteOnce", "Bound"),
			want:    v1alpha1.ReasonDestinationUnusable,
		},
		"PVCLost": {
			reason: "its volume is gone", spec: destination(`claimName: backups`),
			arrange: withPVC("backups", "", "ReadWriteOnce", "Lost"),
			want:    v1alpha1.ReasonDestinationUnusable, holds: []string{"lost its volume"},
		},
		"PVCReadOnly": {
			reason: "the pod would fail on its first write", spec: destination(`claimName: backups`),
			arrange: withPVC("backups", "", "ReadOnlyMany", "Bound"),
			want:    v1alpha1.ReasonDestinationNotWritable, holds: []string{`"backups"`},
		},
	}
}

// volumeYAML is a PersistentVolume.
func volumeYAML(metadata, capacity, mode, claimRef, phase string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: PersistentVolume, metadata: {name: pv-1, uid: uid-of-pv-1%s},
		spec: {capacity: {storage: %s}, accessModes: [%s], storageClassName: "", persistentVolumeReclaimPolicy: Retain%s}, status: {phase: %s}}`,
		metadata, capacity, mode, claimRef, phase)
}

func withVolume(metadata, capacity, mode, claimRef, phase string) func(*world) {
	return func(w *world) { w.Put(object(w.t, volumeYAML(metadata, capacity, mode, claimRef, phase))) }
}

// namedVolumeRefusals: the PersistentVolume that the PVC is to bind to.
func namedVolumeRefusals() map[string]refusal {
	const other = `, claimRef: {namespace: other, name: data, uid: u}`
	named := destination(`volumeName: pv-1`)
	return map[string]refusal{
		"VolumeMissing": {
			reason: "the PVC would stay Pending for ever", spec: named,
			want: v1alpha1.ReasonVolumeNotFound, holds: []string{`"pv-1"`, "volumeName"},
		},
		"VolumeBound": {
			reason: "it is somebody's", spec: named, arrange: withVolume("", "10Gi", "ReadWriteOnce", other, "Bound"),
			want: v1alpha1.ReasonVolumeNotAvailable, holds: []string{"of another namespace", "another one"}, lack: []string{"other/data", `"data"`},
		},
		"VolumeReleased": {
			reason: "its data may still be wanted; the message says how to free it", spec: named,
			arrange: withVolume("", "10Gi", "ReadWriteOnce", other, "Released"),
			want:    v1alpha1.ReasonVolumeNotAvailable, holds: []string{"released by a PersistentVolumeClaim of another namespace", "kubectl patch pv pv-1", "/spec/claimRef"},
		},
		"VolumeReleasedByUs": {
			reason: "an earlier PVC of this name held it: until its UID is removed, Kubernetes binds it to nobody", spec: named,
			arrange: withVolume("", "10Gi", "ReadWriteOnce", `, claimRef: {namespace: 3scale, name: nightly-backup, uid: old}`, "Released"),
			want:    v1alpha1.ReasonVolumeNotAvailable, holds: []string{`released by PersistentVolumeClaim "nightly-backup"`, "kubectl patch pv pv-1"},
		},
		"VolumeBoundAndSmall": {
			reason: "what another's volume is like, he may not know", spec: named, arrange: withVolume("", "1Gi", "ReadOnlyMany", other, "Bound"),
			want: v1alpha1.ReasonVolumeNotAvailable, lack: []string{"1Gi", "access mode"},
		},
		"VolumeReservedForAnother": {
			reason: "a reservation counts before it is bound", spec: named,
			arrange: withVolume("", "10Gi", "ReadWriteOnce", `, claimRef: {namespace: other, name: nightly-backup}`, "Available"),
			want:    v1alpha1.ReasonVolumeNotAvailable,
		},
		"VolumeTerminating": {
			reason: "it goes as soon as nobody uses it", spec: named,
			arrange: withVolume(`, deletionTimestamp: "2026-11-22T12:00:00Z"`, "10Gi", "ReadWriteOnce", "", "Available"),
			want:    v1alpha1.ReasonVolumeNotAvailable, holds: []string{"being deleted"},
		},
		"VolumeTooSmall": {
			reason: "Kubernetes would never bind it", spec: destination(`volumeName: pv-1, resources: {requests: 11Gi}`),
			arrange: withVolume("", "10Gi", "ReadWriteOnce", "", "Available"),
			want:    v1alpha1.ReasonVolumeTooSmall, holds: []string{"10Gi", "11Gi"},
		},
		"VolumeReadOnly": {
			reason: "the pod would fail on its first write", spec: named,
			arrange: withVolume("", "10Gi", "ReadOnlyMany", "", "Available"),
			want:    v1alpha1.ReasonDestinationNotWritable, holds: []string{`"pv-1"`},
		},
		"VolumeHoldsFileStorage": {
			reason: "the backup would be written into what it backs up", spec: named,
			arrange: func(w *world) {
				withVolume("", "10Gi", "ReadWriteOnce", `, claimRef: {namespace: 3scale, name: system-storage, uid: u}`, "Bound")(w)
				w.editNamed("PersistentVolumeClaim", "system-storage", set("pv-1", "spec", "volumeName"))
			},
			want: v1alpha1.ReasonDestinationIsFileStorage, holds: []string{`"pv-1"`},
		},
	}
}
