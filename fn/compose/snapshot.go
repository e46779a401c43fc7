package compose

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

const (
	// maxAttempts bounds how often a snapshot is taken again because a source
	// changed meanwhile.
	maxAttempts = 5
	// maxObjectsBytes bounds the objects Secret; the API server's own limit is 1 MiB.
	maxObjectsBytes = 1000 << 10
)

// sources are the Secrets to copy, as they are now, by name.
func (c *composition) sources() map[string]Object {
	if c.known.sources != nil {
		return c.known.sources
	}
	out := map[string]Object{}
	for _, name := range c.secretNames() {
		secret := c.required(prefixSecret + name)
		if secret != nil && !isToken(secret) {
			out[name] = secret
		}
	}
	c.known.sources = out
	return out
}

func isToken(secret Object) bool {
	return secret.text("type") == string(corev1.SecretTypeServiceAccountToken)
}

// snapshotFiles are the files of the snapshot but the Secrets' values, by path.
func (c *composition) snapshotFiles() map[string][]byte {
	if c.known.files != nil {
		return c.known.files
	}
	files := map[string][]byte{}
	add := func(path string, object any) {
		data, err := threescale.EncodeJSON(object)
		if err != nil && c.desired.Fatal == nil {
			c.desired.Fatal = fmt.Errorf("cannot encode %q: %w", path, err)
		}
		files[path] = data
	}
	if c.apiManager() != nil {
		add(job.APIManagerFile, threescale.CleanForBackup(c.apiManager()))
	}
	for _, object := range threescale.ConfigMaps() {
		if configMap := c.required(prefixConfigMap + object.Name); configMap != nil {
			add(job.ConfigMapFile(object.Name), threescale.CleanForBackup(configMap))
		}
	}
	for name, secret := range c.sources() {
		add(job.SecretMetadataFile(name), threescale.SecretMeta(secret))
	}
	c.known.files = files
	return files
}

// describedFiles are the files of the snapshot with the run's description.
func (c *composition) describedFiles(r *run) map[string][]byte {
	source := c.apiManager()
	data, err := json.Marshal(job.Description{
		Source: job.Source{
			Namespace:      c.namespace,
			APIManager:     source.name(),
			UID:            string(source.uid()),
			ThreeScale:     threescale.Version(source),
			WildcardDomain: threescale.WildcardDomain(source),
			FileStorage:    claimOf(c.required(requireFileStorage)),
		},
		Cause: r.cause,
	})
	if err != nil && c.desired.Fatal == nil {
		c.desired.Fatal = fmt.Errorf("cannot describe run %q: %w", r.id, err)
	}
	files := maps.Clone(c.snapshotFiles())
	files[job.DescriptionFile] = data
	return files
}

// claimOf is what a restore makes the claim of the file storage like; nil
// without one.
func claimOf(claim Object) *job.Claim {
	if claim == nil {
		return nil
	}
	out := &job.Claim{Size: claim.text("status", "capacity", "storage")}
	if out.Size == "" {
		out.Size = claim.text("spec", "resources", "requests", "storage")
	}
	if class := claim.text("spec", "storageClassName"); class != "" {
		out.StorageClass = &class
	}
	for _, mode := range claim.accessModes() {
		out.AccessModes = append(out.AccessModes, string(mode))
	}
	return out
}

// composeSnapshot composes one copy a Secret and one Secret for all other
// objects. What was copied is not taken from its source again: copies are
// immutable, and the snapshot is of one moment.
func (c *composition) composeSnapshot(r *run) {
	c.keepSnapshot(r)
	if r.objects == nil {
		c.desired.Resources[keyObjects+r.key()] = specs.ObjectsSecret(r.spec(c), c.describedFiles(r))
	}
	for name, secret := range c.sources() {
		if r.copies[name] == nil && r.wants(name) {
			c.desired.Resources[r.copyKey(name)] = specs.SecretCopy(r.spec(c), sourceOf(name, secret))
		}
	}
}

// keepSnapshot emits what the run has copied so far.
func (c *composition) keepSnapshot(r *run) {
	s := r.spec(c)
	if r.objects != nil {
		secret := specs.ObjectsSecret(s, nil)
		secret.Data = dataOf(r.objects)
		c.desired.Resources[keyObjects+r.key()] = secret
	}
	for name, secret := range r.copies {
		source := sourceOf(name, secret)
		source.ResourceVersion = secret.annotation(v1alpha1.AnnotationSourceResourceVersion)
		c.desired.Resources[r.copyKey(name)] = specs.SecretCopy(s, source)
	}
}

func (r *run) copyKey(source string) string { return keySecretCopy + r.key() + "/" + source }

// wants tells whether a Secret belongs to the snapshot: once the objects are
// written, only what they list does.
func (r *run) wants(source string) bool {
	if r.objects == nil {
		return true
	}
	_, listed := r.objects.object("data")[specs.ObjectKey(job.SecretMetadataFile(source))]
	return listed
}

func sourceOf(name string, secret Object) specs.Source {
	return specs.Source{
		Name:            name,
		ResourceVersion: secret.resourceVersion(),
		Type:            corev1.SecretType(secret.text("type")),
		Data:            dataOf(secret),
	}
}

// dataOf decodes a Secret's values. The API server wrote them, so that they
// are valid base64; one that is not is left out.
func dataOf(secret Object) map[string][]byte {
	out := map[string][]byte{}
	for key, value := range secret.object("data") {
		text, _ := value.(string)
		if data, err := base64.StdEncoding.DecodeString(text); err == nil {
			out[key] = data
		}
	}
	return out
}

// snapshotExists tells whether all objects that the Job needs exist. They need
// not be bound or used: a volume may wait for the first pod.
func (c *composition) snapshotExists(r *run) bool {
	if r.objects == nil || r.report == nil || c.backupVolume() == nil {
		return false
	}
	if !c.mayReport(r.report) {
		return false
	}
	listed := 0
	for key := range r.objects.object("data") {
		if strings.HasPrefix(key, specs.ObjectKey(job.SecretMetadataDir+"/")) {
			listed++
		}
	}
	for source := range r.copies {
		if r.wants(source) {
			listed--
		}
	}
	return listed == 0
}

// mayReport tells whether the identity of the pods exists and may write a report.
func (c *composition) mayReport(report Object) bool {
	if c.observed.Composed[keyServiceAccount] == nil {
		return false
	}
	for _, rule := range c.observed.Composed[keyRole].objects("rules") {
		if slices.Contains(rule.texts("resourceNames"), report.name()) {
			return true
		}
	}
	return false
}

// sourcesUnchanged tells whether the sources still are what was copied, so
// that the snapshot is of one moment. A source whose version moved on without
// a change of what is backed up counts as unchanged.
func (c *composition) sourcesUnchanged(r *run) bool {
	if !sameData(specs.ObjectsSecret(r.spec(c), c.describedFiles(r)).Data, dataOf(r.objects)) {
		return false
	}
	for name, secret := range c.sources() {
		kept := r.copies[name]
		if kept == nil {
			return false
		}
		if kept.annotation(v1alpha1.AnnotationSourceResourceVersion) == secret.resourceVersion() {
			continue
		}
		if !sameData(dataOf(kept), dataOf(secret)) {
			return false
		}
	}
	return true
}

func sameData(a, b map[string][]byte) bool {
	return maps.EqualFunc(a, b, slices.Equal)
}

// retake begins the snapshot again under the next attempt. The objects of this
// one leave the desired state. After some attempts it settles for what there is.
func (c *composition) retake(r *run) {
	if r.attempt >= maxAttempts {
		r.inconsistent = true
		return
	}
	r.attempt++
	r.objects, r.copies = nil, map[string]Object{}
}

// inconsistency is the warning of a run whose copies are of different moments.
func inconsistency() string {
	return fmt.Sprintf("Sources changed in each of %d attempts to copy them at one moment; the backup holds versions of different moments", maxAttempts)
}
