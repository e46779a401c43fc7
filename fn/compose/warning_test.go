package compose_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

// caution is something that does not stop a run, but wants attention.
type caution struct {
	reason  string
	spec    string
	options func(*dataset.Options)
	arrange func(*world)
	// run takes the world to where the warning is told; one reconcile if nil.
	run         func(*world)
	want        string
	holds, lack []string
}

func cautions() map[string]caution {
	all := map[string]caution{}
	for _, cases := range []map[string]caution{sourceCautions(), destinationCautions(), runCautions(), scheduleCautions(), offsiteCautions()} {
		maps.Copy(all, cases)
	}
	return all
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for name, tc := range cautions() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.spec, orNothing(tc.options))
			if tc.arrange != nil {
				tc.arrange(w)
			}
			if tc.run == nil {
				w.reconcile()
			} else {
				tc.run(w)
			}
			assert.Equal(t, "True", w.condition(v1alpha1.ConditionPreflightPassed)["status"], "%s: %s", tc.reason, w.condition(v1alpha1.ConditionPreflightPassed))
			condition := w.condition(v1alpha1.ConditionWarning)
			require.NotNil(t, condition, tc.reason)
			assert.Equal(t, tc.want, condition["reason"], "%s\n%s", tc.reason, condition["message"])
			assert.Equal(t, map[bool]string{true: "False", false: "True"}[tc.want == v1alpha1.ReasonNoWarnings], condition["status"], tc.reason)
			for _, text := range tc.holds {
				assert.Contains(t, condition["message"], text, tc.reason)
			}
			for _, text := range tc.lack {
				assert.NotContains(t, condition["message"], text, tc.reason)
			}
			if tc.run == nil {
				w.untilJob()
				if tc.want != v1alpha1.ReasonDeletionPolicyNotEffective { // that is of the PVC that was found
					assert.Equal(t, condition, w.condition(v1alpha1.ConditionWarning), "%s: the warning stays as it is", tc.reason)
				}
				w.succeed()
				assert.Equal(t, true, w.status("completed"), "%s: a warning stops nothing", tc.reason)
			}
		})
	}
}

// TestWarningReasonsHaveCases: every reason that the API documents can occur.
func TestWarningReasonsHaveCases(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, tc := range cautions() {
		seen[tc.want] = true
	}
	requireSameReasons(t, v1alpha1.ConditionWarning, seen)
}

func sourceCautions() map[string]caution {
	cases := map[string]caution{
		"Nothing": {
			reason: "a complete installation and a class that retains",
			want:   v1alpha1.ReasonNoWarnings,
		},
		"OptionalConfigMapMissing": {
			reason:  "the operator writes it again, but the user should know that it is not in the backup",
			options: func(o *dataset.Options) { o.MissingConfigMaps = []string{"apicast-environment"} },
			want:    v1alpha1.ReasonOptionalMissing, holds: []string{"apicast-environment"},
		},
		"OptionalSystemConfigMissing": {
			reason:  "an installation without it is backed up all the same",
			options: func(o *dataset.Options) { o.MissingConfigMaps = []string{"system"} },
			want:    v1alpha1.ReasonOptionalMissing, holds: []string{"ConfigMap system"},
		},
		"ZyncSwitchedOff": {
			reason:  "the operator deletes its Secret then",
			options: func(o *dataset.Options) { o.MissingSecrets = []string{"zync"} },
			arrange: func(w *world) { w.editNamed("APIManager", "example", set(false, "spec", "zync", "enabled")) },
			want:    v1alpha1.ReasonOptionalMissing, holds: []string{"zync"},
		},
		"ServiceAccountToken": {
			reason: "a token is bound to its cluster, and a copy would be one more way in",
			arrange: func(w *world) {
				w.editNamed("Secret", "registry-pull", set("kubernetes.io/service-account-token", "type"))
			},
			want: v1alpha1.ReasonNotCopied, holds: []string{"registry-pull"},
		},
		"DeprecatedS3": {
			reason: "the user may think that the files are in S3",
			arrange: func(w *world) {
				w.editNamed("APIManager", "example", set(map[string]any{"awsBucket": "b"}, "spec", "system", "fileStorage", "amazonSimpleStorageService"))
			},
			want: v1alpha1.ReasonDeprecatedField, holds: []string{"amazonSimpleStorageService"},
		},
		"DatabaseOfZyncInternal": {
			reason:  "zync's own database may be internal",
			options: func(o *dataset.Options) { o.InternalDatabases = []threescale.Database{threescale.ZyncDatabase} },
			want:    v1alpha1.ReasonNoWarnings,
		},
		"LegacyHighAvailability": {
			reason: "the older field makes all three external",
			arrange: func(w *world) {
				w.editNamed("APIManager", "example", func(o map[string]any) {
					spec := o["spec"].(map[string]any)
					delete(spec, "externalComponents")
					spec["highAvailability"] = map[string]any{"enabled": true}
				})
			},
			want: v1alpha1.ReasonNoWarnings,
		},
		"TwoAPIManagersOneNamed": {
			reason: "it is said which one is meant", spec: beside(`apiManagerName: example-second`),
			options: func(o *dataset.Options) { o.SecondAPIManager = true },
			want:    v1alpha1.ReasonNoWarnings,
		},
		"S3Skipped": {
			reason: "the rest can be backed up", spec: beside(`fileStorage: Skip`),
			options: func(o *dataset.Options) { o.S3 = true },
			want:    v1alpha1.ReasonNoWarnings,
		},
	}
	for _, name := range []string{"system-memcache", "system-recaptcha", "registry-pull"} {
		cases["OptionalMissing/"+name] = caution{
			reason:  "the installation does without, but the user should know that it is not in the backup",
			options: func(o *dataset.Options) { o.MissingSecrets = []string{name} },
			want:    v1alpha1.ReasonOptionalMissing, holds: []string{name},
		}
	}
	return cases
}

func destinationCautions() map[string]caution {
	const ours = `, labels: {backup.threescale.dev/backup: nightly}`
	deleting := func(w *world) { w.editNamed("StorageClass", "standard", set("Delete", "reclaimPolicy")) }
	named := destination(`volumeName: pv-1`)
	return map[string]caution{
		"ClassDeletes": {
			reason: "the default class would delete the backups with the namespace", arrange: deleting,
			want: v1alpha1.ReasonReclaimPolicyDelete, holds: []string{`"nightly-backup"`, "get pvc nightly-backup", "Retain"},
		},
		"NamedClassDeletes": {
			reason: "likewise one that is named", spec: destination(`resources: {requests: 1Gi}, storageClass: fast`),
			arrange: func(w *world) {
				w.Put(object(w.t, `{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: fast}, provisioner: x, reclaimPolicy: Delete}`))
			},
			want: v1alpha1.ReasonReclaimPolicyDelete,
		},
		"ClassExpands": {
			reason: "a class that can grow is nothing to warn of", arrange: func(w *world) {
				w.editNamed("StorageClass", "standard", set(true, "allowVolumeExpansion"))
			},
			want: v1alpha1.ReasonNoWarnings,
		},
		"NamedVolumeDeletes": {
			reason: "one command keeps it", spec: named,
			arrange: func(w *world) {
				withVolume("", "10Gi", "ReadWriteOnce", "", "Available")(w)
				w.editNamed("PersistentVolume", "pv-1", set("Delete", "spec", "persistentVolumeReclaimPolicy"))
			},
			want: v1alpha1.ReasonReclaimPolicyDelete, holds: []string{"kubectl patch pv", "Retain"},
		},
		"NamedVolumeRetains": {
			reason: "the volume counts, whatever the default class says", spec: named,
			arrange: func(w *world) { deleting(w); withVolume("", "10Gi", "ReadWriteOnce", "", "Available")(w) },
			want:    v1alpha1.ReasonNoWarnings,
		},
		"NamedVolumeReservedForUs": {
			reason: "an administrator may reserve it by claimRef", spec: named,
			arrange: withVolume("", "10Gi", "ReadWriteOnce", `, claimRef: {namespace: 3scale, name: nightly-backup}`, "Available"),
			want:    v1alpha1.ReasonNoWarnings,
		},
		"NamedVolumeFitsExactly": {
			reason: "as large as what is requested is large enough", spec: destination(`volumeName: pv-1, resources: {requests: 10Gi}`),
			arrange: withVolume("", "'10737418240'", "ReadWriteOnce", "", "Available"),
			want:    v1alpha1.ReasonNoWarnings,
		},
		"ExistingPVC": {
			reason: "a PVC of the user's is used as it is", spec: destination(`claimName: backups`),
			arrange: withPVC("backups", "", "ReadWriteMany", "Bound"),
			want:    v1alpha1.ReasonNoWarnings,
		},
		"ExistingPVCOnVolumeThatDeletes": {
			reason: "the user's own PVC too", spec: destination(`claimName: backups`),
			arrange: func(w *world) {
				withPVC("backups", "", "ReadWriteOnce", "Bound")(w)
				w.editNamed("PersistentVolumeClaim", "backups", set("pv-1", "spec", "volumeName"))
				withVolume("", "10Gi", "ReadWriteOnce", `, claimRef: {namespace: 3scale, name: backups, uid: uid-of-backups}`, "Bound")(w)
				w.editNamed("PersistentVolume", "pv-1", set("Delete", "spec", "persistentVolumeReclaimPolicy"))
			},
			want: v1alpha1.ReasonReclaimPolicyDelete, holds: []string{`"backups"`, "get pvc backups"},
		},
		"AdoptablePVC": {
			reason:  "an earlier claim of this name left it behind",
			arrange: withPVC("nightly-backup", ours, "ReadWriteOnce", "Bound"),
			want:    v1alpha1.ReasonNoWarnings,
		},
		"AdoptedPVCStays": {
			reason: "the earlier composite made the namespace an owner, and only that composite could undo it", spec: beside(`deletionPolicy: Delete`),
			arrange: withPVC("nightly-backup", ours+`, ownerReferences: [{apiVersion: v1, kind: Namespace, name: 3scale, uid: uid-of-3scale}]`, "ReadWriteOnce", "Bound"),
			want:    v1alpha1.ReasonDeletionPolicyNotEffective, holds: []string{"nightly-backup", "Delete"},
		},
	}
}

// runCautions are told once a run goes or is done.
func scheduleCautions() map[string]caution {
	nightly := beside(nightlySpec)
	return map[string]caution{
		"Suspended": {
			reason: "somebody may have forgotten it", spec: beside(nightlySpec + `, suspend: true`), run: func(w *world) { w.reconcile() },
			want: v1alpha1.ReasonSuspended, holds: []string{"spec.suspend", "spec.trigger"},
		},
		"SuspendedWithoutSchedule": {
			reason: "there is nothing to suspend", spec: beside(`suspend: true`),
			want: v1alpha1.ReasonNoWarnings,
		},
		"SlotsMissed": {
			reason: "nights without a backup must not pass unnoticed", spec: nightly,
			run:  func(w *world) { w.reconcile(); w.runAt("2026-11-25T09:00:00Z"); w.reconcile() },
			want: v1alpha1.ReasonSlotsMissed, holds: []string{"2 slots", "status.schedule.firstMissedSlot"},
		},
		"UnencryptedDatabases": {
			reason: "whoever reads the volume reads the databases", spec: beside(allDatabases),
			want: v1alpha1.ReasonUnencryptedDatabases, holds: []string{"spec.encryption", "stored readable"},
		},
		"EncryptionRemoved": {
			reason: "what was secret so far would be readable from now on",
			run: func(w *world) {
				w.untilJob()
				result := completed(w.runID())
				result.Encrypted = true
				w.report(result)
				w.endJob("Complete")
				w.reconcile()
				w.reconcile()
			},
			want: v1alpha1.ReasonEncryptionRemoved, holds: []string{"spec.encryption", "readable"},
		},
		"RestoreReads": {
			reason: "runs that pile up have a reason", spec: beside(`retention: {keepLast: 2}`),
			run:  func(w *world) { w.Put(readerJob("nightly-backup")); w.reconcile() },
			want: v1alpha1.ReasonRetentionWaits, holds: []string{`"dr"`},
		},
	}
}

func runCautions() map[string]caution {
	afterRun := func(change func(*world)) func(*world) {
		return func(w *world) { w.backUp(); change(w); w.reconcile() }
	}
	return map[string]caution{
		"SizeShrinks": {
			reason: "a PVC cannot shrink", run: afterRun(func(w *world) { w.setSpec("5Gi", destinationPath("resources", "requests")...) }),
			want: v1alpha1.ReasonDestinationChangeIgnored, holds: []string{"10Gi", "5Gi", "cannot shrink"},
		},
		"SizeGrowsWithoutExpansion": {
			reason: "the API server would refuse it with an error that drops our whole answer",
			run:    afterRun(func(w *world) { w.setSpec("20Gi", destinationPath("resources", "requests")...) }),
			want:   v1alpha1.ReasonExpansionUnsupported, holds: []string{"stays at 10Gi", "20Gi"},
		},
		"SizeGrowsWhileUnbound": {
			reason: "likewise while the PVC waits for its first pod",
			arrange: func(w *world) {
				w.editNamed("StorageClass", "standard", set(true, "allowVolumeExpansion"))
			},
			run: func(w *world) {
				w.reconcile()
				w.setSpec("20Gi", destinationPath("resources", "requests")...)
				w.reconcile()
			},
			want: v1alpha1.ReasonExpansionUnsupported, holds: []string{"20Gi", "once it is bound"},
		},
		"RunWarns": {
			reason: "what the mover saw must not stay in a file",
			run: func(w *world) {
				w.untilJob()
				result := completed(w.runID())
				result.Warnings = []string{"the volume has no symlinks: LATEST stands for them"}
				result.Skipped = []string{"run/app.sock (socket)"}
				w.report(result)
				w.endJob("Complete")
				w.reconcile()
			},
			want: v1alpha1.ReasonRunWarnings, holds: []string{"The volume has no symlinks", "run/app.sock (socket)"},
		},
		"SourcesKeepChanging": {
			reason: "a backup of several moments must say so as long as it is the newest",
			run: func(w *world) {
				w.rotateUntilJob()
				w.succeed()
				w.reconcile()
			},
			want: v1alpha1.ReasonRunWarnings, holds: []string{"Sources changed in each of 5 attempts"},
		},
		"SourcesKeepChangingInFlight": {
			reason: "and while the run goes",
			run:    func(w *world) { w.rotateUntilJob(); w.reconcile() },
			want:   v1alpha1.ReasonSourcesChanging, holds: []string{"5 attempts", "different moments"},
		},
	}
}

func destinationPath(fields ...string) []string {
	return append([]string{"backupDestination", "persistentVolumeClaim"}, fields...)
}
