// Package preflight looks at everything that a run needs before one starts.
package preflight

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/threescale"
)

const (
	// maxSecretBytes bounds what all Secrets of a snapshot weigh in one answer,
	// base64 included: core takes 4 MiB of a function.
	maxSecretBytes = 5 << 19
	// maxObjectsBytes bounds the objects Secret; the API server's own limit is 1 MiB.
	maxObjectsBytes = 1000 << 10
	// maxFileName is what file systems allow, in bytes.
	maxFileName = 255
)

// Findings are what the checks found.
type Findings struct {
	// Problems stop runs, Warnings do not.
	Problems []text.Finding
	Warnings []text.Finding
	// JobRefused: spec.job asks for what is not allowed, which stops every Job.
	JobRefused bool
	// Bucket is what stops copies to the bucket, and nothing else.
	Bucket []text.Finding
}

// Passed reports whether a run may start.
func (f Findings) Passed() bool { return len(f.Problems) == 0 }

// Check runs all checks, so that all that is wrong is told together.
func Check(f *facts.Facts) Findings {
	job := checkJob(f)
	out := Findings{JobRefused: len(job) > 0, Bucket: checkBucketUse(f)}
	out.Problems = slices.Concat(
		checkSpec(f),        // every field can be used
		job,                 // spec.job asks for nothing that is not allowed
		checkNamespace(f),   // the namespace is there
		checkAPIManager(f),  // exactly one APIManager, or the named one
		checkDatabases(f),   // nothing of the installation's data in its own databases
		checkDumps(f),       // the databases that it names can be dumped
		checkReferences(f),  // every Secret that it refers to can exist
		checkFileBucket(f),  // files in S3 can be read with the Secret of their bucket
		checkFileStorage(f), // those in a volume with that
		checkNames(f),       // what is copied can be stored under its name
		checkSecrets(f),     // all Secrets that the installation cannot do without
		checkConfigMaps(f),  // likewise ConfigMaps
		checkSize(f),        // they fit into one answer
		checkDestination(f), // the backup's PVC is ours, or the user's, and usable
		checkNamedVolume(f), // the named volume is free and fits
	)
	out.Warnings = slices.Concat(
		optionalMissing(f),
		notCopied(f),
		bucketOnCluster(f),
		readableDatabases(f),
		text.Findings(v1alpha1.ReasonDeprecatedField, threescale.DeprecatedField(f.Installation.APIManager)),
	)
	return out
}

func checkNamespace(f *facts.Facts) []text.Finding {
	if f.Home == nil {
		return text.Findingf(v1alpha1.ReasonNamespaceNotFound, text.NamespaceNotFound, f.Namespace)
	}
	return nil
}

func checkAPIManager(f *facts.Facts) []text.Finding {
	found, name := f.Installation.Found, f.Spec.APIManagerName
	switch {
	case len(found) == 1:
		return nil
	case name != "":
		return text.Findingf(v1alpha1.ReasonAPIManagerNotFound, text.APIManagerNotFound, name, f.Namespace)
	case len(found) == 0:
		return text.Findingf(v1alpha1.ReasonAPIManagerNotFound, text.NoAPIManager, f.Namespace)
	}
	return text.Listed(v1alpha1.ReasonSeveralAPIManagers, text.SeveralAPIManagers, slices.Sorted(slices.Values(found)), f.Namespace, len(found))
}

func checkDatabases(f *facts.Facts) []text.Finding {
	if f.Installation.APIManager == nil {
		return nil
	}
	return text.Findings(v1alpha1.ReasonInternalDatabases, threescale.InternalDatabases(f.Installation.APIManager)...)
}

func checkReferences(f *facts.Facts) []text.Finding {
	return text.Findings(v1alpha1.ReasonInvalidReference, threescale.InvalidReferences(f.Installation.APIManager)...)
}

// checkNames refuses a Secret whose name with the file's extension is longer than a
// file's name may be. Only a Secret that the APIManager refers to can have such a name.
func checkNames(f *facts.Facts) []text.Finding {
	end := ".json" // as package job and the format have it
	if f.Spec.Encryption != nil {
		end += ".age"
	}
	longest := maxFileName - len(end)
	var out []text.Finding
	for _, ref := range f.Installation.References {
		if f.Installation.Sources[ref.Name] != nil && len(ref.Name) > longest {
			out = append(out, text.Findingf(v1alpha1.ReasonInvalidReference, text.NameTooLong, ref.Field, ref.Name, len(ref.Name), longest)...)
		}
	}
	return out
}

func checkFileBucket(f *facts.Facts) []text.Finding {
	apiManager := f.Installation.APIManager
	if f.SkipsFileStorage() || !threescale.UsesS3(apiManager) {
		return nil
	}
	if problem := threescale.FileStorageProblem(apiManager); problem != "" {
		return text.Findings(v1alpha1.ReasonFileStorageUnusable, problem)
	}
	secret := f.Installation.Secrets[threescale.FileStorageSecret(apiManager)]
	if secret == nil {
		return nil // a missing one is told with the others
	}
	bucket, err := threescale.FileStorageBucket(apiManager, secret.Data())
	if err != nil {
		return text.Findingf(v1alpha1.ReasonFileStorageUnusable, text.FileBucketUnknown, err)
	}
	if f.Spec.Offsite != nil && isSameBucket(bucket, f.Spec.Offsite.Bucket) {
		return text.Findingf(v1alpha1.ReasonDestinationIsFileStorage, text.BucketIsSource, bucket.Name)
	}
	return nil
}

func checkFileStorage(f *facts.Facts) []text.Finding {
	if f.SkipsFileStorage() || threescale.UsesS3(f.Installation.APIManager) {
		return nil
	}
	pvc := f.Installation.FileStorage
	switch {
	case pvc == nil:
		return text.Findingf(v1alpha1.ReasonFileStorageNotFound, text.FileStorageNotFound, threescale.FileStoragePVCName)
	case pvc.DeletionTimestamp != nil:
		return text.Findingf(v1alpha1.ReasonFileStorageUnusable, text.FileStorageDeleted, pvc.Name)
	case pvc.Status.Phase == corev1.ClaimLost:
		return text.Findingf(v1alpha1.ReasonFileStorageUnusable, text.FileStorageLost, pvc.Name)
	case slices.Equal(pvc.Spec.AccessModes, []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}):
		return text.Findingf(v1alpha1.ReasonFileStorageUnusable, text.FileStorageOnePod, pvc.Name)
	}
	return nil
}

func checkSecrets(f *facts.Facts) []text.Finding {
	return text.Listed(v1alpha1.ReasonSecretMissing, text.SecretsMissing, missingSecrets(f.Installation, true), f.Namespace)
}

func checkConfigMaps(f *facts.Facts) []text.Finding {
	return text.Listed(v1alpha1.ReasonConfigMapMissing, text.ConfigMapsMissing, missingConfigMaps(f.Installation, true), f.Namespace)
}

// checkSize adds up what one answer carries, before anything is composed.
func checkSize(f *facts.Facts) []text.Finding {
	total := 0
	for _, source := range f.Installation.Sources {
		total += source.EncodedBytes()
	}
	if total > maxSecretBytes {
		return text.Findingf(v1alpha1.ReasonSecretsTooLarge, text.SecretsTooLarge, size(total), size(maxSecretBytes))
	}
	objects := 0
	for _, data := range f.Installation.Files {
		objects += len(data)
	}
	if objects > maxObjectsBytes {
		return text.Findingf(v1alpha1.ReasonObjectsTooLarge, text.ObjectsTooLarge, size(objects), size(maxObjectsBytes))
	}
	return nil
}

func size(bytes int) string {
	return resource.NewQuantity(int64(bytes), resource.BinarySI).String()
}

// missingSecrets returns the required Secrets that do not exist, or the optional ones.
func missingSecrets(i facts.Installation, required bool) []string {
	var missing []string
	for _, object := range threescale.Secrets(i.APIManager) {
		if object.Required == required && i.Secrets[object.Name] == nil {
			missing = append(missing, object.Name)
		}
	}
	for _, ref := range i.References {
		if ref.Required == required && i.Secrets[ref.Name] == nil {
			missing = append(missing, fmt.Sprintf(text.NamedBy, ref.Name, ref.Field))
		}
	}
	return missing
}

// missingConfigMaps is missingSecrets for ConfigMaps.
func missingConfigMaps(i facts.Installation, required bool) []string {
	var missing []string
	for _, object := range threescale.ConfigMaps() {
		if object.Required == required && !i.ConfigMaps[object.Name] {
			missing = append(missing, object.Name)
		}
	}
	return missing
}

func optionalMissing(f *facts.Facts) []text.Finding {
	if f.Installation.APIManager == nil {
		return nil
	}
	missing := missingSecrets(f.Installation, false)
	for _, name := range missingConfigMaps(f.Installation, false) {
		missing = append(missing, fmt.Sprintf(text.ConfigMap, name))
	}
	return text.Listed(v1alpha1.ReasonOptionalMissing, text.OptionalMissing, missing)
}

// notCopied warns of Secrets that exist and are not among the sources.
func notCopied(f *facts.Facts) []text.Finding {
	var names []string
	for _, name := range f.Installation.Asked {
		if f.Installation.Secrets[name] != nil && f.Installation.Sources[name] == nil {
			names = append(names, name)
		}
	}
	return text.Listed(v1alpha1.ReasonNotCopied, text.TokensNotCopied, names)
}
