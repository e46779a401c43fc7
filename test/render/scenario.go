package render

import (
	"time"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

// A Scenario says what the claim of an example meets.
type Scenario struct {
	// Name is the folder below examples/.
	Name string
	// Namespaced is for the flavour without a claim.
	Namespaced bool
	// Installation that is backed up.
	Installation dataset.Options
	// Objects that the cluster has beside it and the storage classes, as YAML.
	Objects []string
	// Now is the rendered moment; zero: a minute after the claim is applied.
	Now time.Time
	// Before plays what happened before the rendered moment; nil: nothing did.
	Before func(*stage) error
}

// Flavour is the folder of manifests/ with the scenario's XRD and Composition.
func (s Scenario) Flavour() string {
	if s.Namespaced {
		return "namespaced"
	}
	return "claim"
}

// created is when all claims are applied.
func created() time.Time { return time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC) }

// slot is the first of the examples' schedules, and verifySlot that of their
// verifications.
func slot() time.Time       { return created().Add(24 * time.Hour) }
func verifySlot() time.Time { return created().Add(7*24*time.Hour + 3*time.Hour) }

// moment is what the time is when the scenario is rendered, in RFC 3339.
func (s Scenario) moment() string {
	if s.Now.IsZero() {
		return created().Add(time.Minute).Format(time.RFC3339)
	}
	return s.Now.Format(time.RFC3339)
}

// storageClasses are those of every cluster: the default deletes a volume with
// its claim, as most do.
func storageClasses() []string {
	return []string{`
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: standard
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: csi.example.com
reclaimPolicy: Delete
volumeBindingMode: WaitForFirstConsumer
`, `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: retained}
provisioner: csi.example.com
reclaimPolicy: Retain
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
`}
}

const preexistingVolume = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: my-preexisting-persistent-volume, uid: 5f0c2f5e-7a33-4a55-9a0e-2b7c3a9d1e01}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 20Gi}
  nfs: {server: nfs.example.com, path: /backups}
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ""
status: {phase: Available}
`

const preexistingPVC = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: backups, namespace: 3scale, uid: 5f0c2f5e-7a33-4a55-9a0e-2b7c3a9d1e02}
spec:
  accessModes: [ReadWriteMany]
  resources: {requests: {storage: 50Gi}}
  storageClassName: retained
  volumeName: pv-backups
status: {phase: Bound, accessModes: [ReadWriteMany], capacity: {storage: 50Gi}}
`

const volumeOfPreexistingPVC = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: pv-backups, uid: 5f0c2f5e-7a33-4a55-9a0e-2b7c3a9d1e03}
spec:
  accessModes: [ReadWriteMany]
  capacity: {storage: 50Gi}
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, name: backups, namespace: 3scale, uid: 5f0c2f5e-7a33-4a55-9a0e-2b7c3a9d1e02}
  nfs: {server: nfs.example.com, path: /backups}
  persistentVolumeReclaimPolicy: Retain
  storageClassName: retained
status: {phase: Bound}
`

// bucketSecret has placeholders, base64-encoded.
const bucketSecret = `
apiVersion: v1
kind: Secret
metadata: {name: bucket, namespace: 3scale, uid: 5f0c2f5e-7a33-4a55-9a0e-2b7c3a9d1e04}
type: Opaque
data: {accesskey: cGxhY2Vob2xkZXI=, secretkey: cGxhY2Vob2xkZXI=}
`

// Scenarios lists all examples, in the order in which examples/README.md explains them.
func Scenarios() []Scenario {
	internal := []threescale.Database{threescale.SystemDatabase, threescale.BackendRedis}
	return []Scenario{
		{Name: "first-backup"},
		{Name: "first-backup-namespaced", Namespaced: true},
		{Name: "existing-persistent-volume", Objects: []string{preexistingVolume}},
		{Name: "existing-claim", Objects: []string{preexistingPVC, volumeOfPreexistingPVC}},
		{Name: "running", Before: (*stage).snapshot},
		{Name: "encrypted", Before: (*stage).snapshot},
		{Name: "databases", Before: (*stage).snapshot},
		{Name: "completed", Before: (*stage).jobDone},
		{Name: "triggered", Before: (*stage).firstRunThenTrigger},
		{Name: "scheduled"},
		{Name: "scheduled-namespaced", Namespaced: true, Now: slot().Add(4 * time.Second)},
		{Name: "thinned-out", Now: slot().Add(time.Minute), Before: (*stage).thinnedOut},
		{Name: "damaged", Now: verifySlot().Add(2 * time.Minute), Before: (*stage).damageFound},
		{Name: "offsite", Objects: []string{bucketSecret}, Before: (*stage).copyDue},
		{Name: "internal-databases-refused", Installation: dataset.Options{InternalDatabases: internal}},
		{Name: "files-in-s3", Installation: dataset.Options{S3: true}, Before: (*stage).snapshot},
		{Name: "missing-secret", Installation: dataset.Options{
			MissingSecrets: []string{"system-recaptcha", "system-seed", "system-smtp"},
		}},
		{Name: "two-apimanagers", Installation: dataset.Options{SecondAPIManager: true}},
	}
}
