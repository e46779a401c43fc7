package compose

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

// maxSecretBytes bounds what all Secrets of a snapshot weigh in one answer,
// base64 included: core takes 4 MiB of a function.
const maxSecretBytes = 5 << 19

// maxFileName is what file systems allow, in bytes.
const maxFileName = 255

// finding is one thing that stops a run, or wants attention.
type finding struct{ reason, message string }

func findingf(reason, format string, args ...any) []finding {
	return []finding{{reason, fmt.Sprintf(format, args...)}}
}

// findings are one for each message; "" is none.
func findings(reason string, messages ...string) []finding {
	var out []finding
	for _, message := range messages {
		if message != "" {
			out = append(out, finding{reason, message})
		}
	}
	return out
}

// preflight runs all checks, so that all that is wrong is told together.
func (c *composition) preflight() {
	checks := []func(*composition) []finding{
		checkSpec,            // every field can be used
		checkJob,             // spec.job asks for nothing that is not allowed
		checkNamespace,       // the namespace is there
		checkAPIManager,      // exactly one APIManager, or the named one
		checkDatabases,       // nothing of the installation's data in its own databases
		checkReferences,      // every Secret that it refers to can exist
		checkFileStorageKind, // files in a volume, not in S3
		checkFileStorage,     // that volume can be mounted
		checkNames,           // what is copied can be stored under its name
		checkSecrets,         // all Secrets that the installation cannot do without
		checkConfigMaps,      // likewise ConfigMaps
		checkSize,            // they fit into one answer
		checkDestination,     // the backup's claim is ours, or the user's, and usable
		checkNamedVolume,     // the named volume is free and fits
	}
	for _, check := range checks {
		c.problems = append(c.problems, check(c)...)
	}
	c.warnings = append(c.warnings, c.optionalMissing()...)
	c.warnings = append(c.warnings, c.notCopied()...)
	c.warnings = append(c.warnings, findings(v1alpha1.ReasonDeprecatedField, threescale.DeprecatedField(c.apiManager()))...)
}

func (c *composition) passed() bool { return len(c.problems) == 0 }

func checkNamespace(c *composition) []finding {
	if c.required(requireNamespace) == nil {
		return findingf(v1alpha1.ReasonNamespaceNotFound, "Namespace %q was not found", c.namespace)
	}
	return nil
}

func checkAPIManager(c *composition) []finding {
	found := c.answers(requireAPIManagers)
	switch {
	case len(found) == 1:
		return nil
	case c.spec.APIManagerName != "":
		return findingf(v1alpha1.ReasonAPIManagerNotFound, "APIManager %q was not found in namespace %q; correct spec.apiManagerName", c.spec.APIManagerName, c.namespace)
	case len(found) == 0:
		return findingf(v1alpha1.ReasonAPIManagerNotFound, "Namespace %q has no APIManager; create the %s in the namespace of the installation", c.namespace, v1alpha1.KindBackup)
	}
	names := make([]string, 0, len(found))
	for _, object := range found {
		names = append(names, object.name())
	}
	slices.Sort(names)
	return findingf(v1alpha1.ReasonSeveralAPIManagers, "Namespace %q has %d APIManagers (%s); name one in spec.apiManagerName", c.namespace, len(found), strings.Join(names, ", "))
}

func checkDatabases(c *composition) []finding {
	if c.apiManager() == nil {
		return nil
	}
	return findings(v1alpha1.ReasonInternalDatabases, threescale.InternalDatabases(c.apiManager())...)
}

func checkReferences(c *composition) []finding {
	return findings(v1alpha1.ReasonInvalidReference, threescale.InvalidReferences(c.apiManager())...)
}

// checkNames refuses a Secret whose name leaves no room for the end of its
// file's: an object's name can be as long as nearly all of a file's. Only what an
// APIManager refers to has such a name.
func checkNames(c *composition) []finding {
	end := ".json" // as package job and the format have it
	if c.spec.Encryption != nil {
		end += ".age"
	}
	longest := maxFileName - len(end)
	var out []finding
	for _, ref := range c.references() {
		if _, copied := c.sources()[ref.Name]; copied && len(ref.Name) > longest {
			out = append(out, findingf(v1alpha1.ReasonInvalidReference, "%s names Secret %q: its name has %d characters, and one that is stored in a file can have %d; give the Secret a shorter name",
				ref.Field, ref.Name, len(ref.Name), longest)...)
		}
	}
	return out
}

func checkFileStorageKind(c *composition) []finding {
	if c.skipsFileStorage() {
		return nil
	}
	return findings(v1alpha1.ReasonS3FileStorageUnsupported, threescale.FileStorageProblem(c.apiManager()))
}

func checkFileStorage(c *composition) []finding {
	if c.skipsFileStorage() || threescale.UsesS3(c.apiManager()) {
		return nil
	}
	claim := c.required(requireFileStorage)
	switch {
	case claim == nil:
		return findingf(v1alpha1.ReasonFileStorageNotFound, "PersistentVolumeClaim %q of the file storage was not found; if this installation has none, set spec.fileStorage to %s", threescale.FileStorageClaimName, v1alpha1.FileStorageSkip)
	case claim.terminating():
		return findingf(v1alpha1.ReasonFileStorageUnusable, "PersistentVolumeClaim %q of the file storage is being deleted", claim.name())
	case claim.text("status", "phase") == "Lost":
		return findingf(v1alpha1.ReasonFileStorageUnusable, "PersistentVolumeClaim %q of the file storage has lost its volume", claim.name())
	case onlySinglePod(claim):
		return findingf(v1alpha1.ReasonFileStorageUnusable, "PersistentVolumeClaim %q allows one pod only (ReadWriteOncePod), which is the installation's own", claim.name())
	}
	return nil
}

func (c *composition) skipsFileStorage() bool {
	return c.spec.FileStorage == v1alpha1.FileStorageSkip
}

func checkSecrets(c *composition) []finding {
	missing := c.missingSecrets(true)
	if len(missing) == 0 {
		return nil
	}
	return findingf(v1alpha1.ReasonSecretMissing, "Namespace %q lacks Secrets that the installation needs: %s; create them, or correct what names them", c.namespace, strings.Join(missing, ", "))
}

func checkConfigMaps(c *composition) []finding {
	missing := c.missingConfigMaps(true)
	if len(missing) == 0 {
		return nil
	}
	return findingf(v1alpha1.ReasonConfigMapMissing, "Namespace %q lacks ConfigMaps that the installation needs: %s; create them", c.namespace, strings.Join(missing, ", "))
}

// missingSecrets are the required Secrets that are not there, or the optional ones.
func (c *composition) missingSecrets(required bool) []string {
	var missing []string
	for _, object := range threescale.Secrets(c.apiManager()) {
		if object.Required == required && c.required(prefixSecret+object.Name) == nil {
			missing = append(missing, object.Name)
		}
	}
	for _, ref := range c.references() {
		if ref.Required == required && c.required(prefixSecret+ref.Name) == nil {
			missing = append(missing, fmt.Sprintf("%s (named by %s)", ref.Name, ref.Field))
		}
	}
	return missing
}

// missingConfigMaps is missingSecrets for ConfigMaps.
func (c *composition) missingConfigMaps(required bool) []string {
	var missing []string
	for _, object := range threescale.ConfigMaps() {
		if object.Required == required && c.required(prefixConfigMap+object.Name) == nil {
			missing = append(missing, object.Name)
		}
	}
	return missing
}

// checkSize adds up what one answer carries, before anything is composed.
func checkSize(c *composition) []finding {
	total := 0
	for _, source := range c.sources() {
		total += encodedBytes(source)
	}
	if total > maxSecretBytes {
		return findingf(v1alpha1.ReasonSecretsTooLarge, "The Secrets to copy are %s together, more than the %s that fit into one answer of a composition function; remove what the installation does not need from the largest of them", size(total), size(maxSecretBytes))
	}
	objects := 0
	for _, data := range c.snapshotFiles() {
		objects += len(data)
	}
	if objects > maxObjectsBytes {
		return findingf(v1alpha1.ReasonObjectsTooLarge, "The APIManager, the ConfigMaps and the Secrets' metadata are %s together, more than the %s that one Secret holds", size(objects), size(maxObjectsBytes))
	}
	return nil
}

// encodedBytes is what a Secret's values weigh as base64.
func encodedBytes(secret Object) int {
	total := 0
	for _, value := range secret.object("data") {
		text, _ := value.(string)
		total += len(text)
	}
	return total
}

func size(bytes int) string {
	return resource.NewQuantity(int64(bytes), resource.BinarySI).String()
}

func (c *composition) optionalMissing() []finding {
	if c.apiManager() == nil {
		return nil
	}
	missing := c.missingSecrets(false)
	for _, name := range c.missingConfigMaps(false) {
		missing = append(missing, "ConfigMap "+name)
	}
	if len(missing) == 0 {
		return nil
	}
	return findingf(v1alpha1.ReasonOptionalMissing, "Optional Secrets and ConfigMaps are missing and not in the backup: %s", strings.Join(missing, ", "))
}

func (c *composition) notCopied() []finding {
	var names []string
	for _, name := range c.secretNames() {
		if isToken(c.required(prefixSecret + name)) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return findingf(v1alpha1.ReasonNotCopied, "Service-account tokens are never copied: %s", strings.Join(names, ", "))
}
