package mover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/threescale"
)

// fileBucket returns the bucket that the installation of a snapshot keeps its files in. The folder has the token that is
// exchanged for credentials where the APIManager enables a role. Errors name keys of the Secret, and never hold a value.
func (s *snapshot) fileBucket(token string) (*archive.BucketOptions, error) {
	i := slices.IndexFunc(s.Objects, func(o archive.ObjectFile) bool { return o.Path == job.APIManagerFile })
	if i < 0 {
		return nil, usage("cannot find the bucket of the file storage: the snapshot has no %s", job.APIManagerFile)
	}
	apiManager := &unstructured.Unstructured{}
	if err := json.Unmarshal(s.Objects[i].Data, &apiManager.Object); err != nil {
		return nil, fmt.Errorf("cannot decode %s of the snapshot: %w", job.APIManagerFile, err)
	}
	name := threescale.FileStorageSecret(apiManager)
	if name == "" {
		return nil, usage("cannot find the bucket of the file storage: the APIManager names no Secret of one")
	}
	data, err := secretIn(s.Objects, name)
	if err != nil {
		return nil, err
	}
	return bucketOptions(apiManager, data, token)
}

// secretIn returns the data of a Secret among objects.
func secretIn(objects []archive.ObjectFile, name string) (map[string][]byte, error) {
	file := path.Join(job.SecretsDir, name+".json")
	i := slices.IndexFunc(objects, func(o archive.ObjectFile) bool { return o.Path == file })
	if i < 0 {
		return nil, usage("cannot find the bucket of the file storage: there is no %s", file)
	}
	var secret struct {
		Data map[string][]byte `json:"data"`
	}
	if err := json.Unmarshal(objects[i].Data, &secret); err != nil {
		return nil, usage("cannot find the bucket of the file storage: %s is not a Secret", file) // the error may quote a value
	}
	return secret.Data, nil
}

// bucketOptions returns the bucket that the data of a Secret lead to.
func bucketOptions(apiManager *unstructured.Unstructured, data map[string][]byte, token string) (*archive.BucketOptions, error) {
	b, err := threescale.FileStorageBucket(apiManager, data)
	if err != nil {
		return nil, &archive.UsageError{Err: err}
	}
	options := &archive.BucketOptions{
		Endpoint: b.Endpoint, Bucket: b.Name, Region: b.Region, Insecure: b.Insecure,
		PathStyle:   b.PathStyle || strings.Contains(b.Name, "."), // no certificate is for such a host
		Credentials: archive.Credentials{AccessKey: b.AccessKey, SecretKey: b.SecretKey},
	}
	if b.RoleARN != "" {
		if token == "" {
			return nil, usage("cannot open the bucket of the file storage: a role and the token that is exchanged for it go together")
		}
		options.Credentials = archive.Credentials{RoleARN: b.RoleARN, TokenFile: filepath.Join(token, tokenName), STSEndpoint: stsEndpoint(job.BucketOptions{Provider: string(v1alpha1.BucketAWS), Region: b.Region})}
	}
	return options, nil
}

// runBucket is the bucket that the files of a run go into.
type runBucket struct {
	job.InspectedBucket

	apiManager *unstructured.Unstructured
	objects    []archive.ObjectFile
}

// bucketOf returns the bucket that the APIManager of a run names; nil if its files go onto a volume. It fails
// for the name of a Secret that no status of a restore can hold.
func bucketOf(objects []archive.ObjectFile) (*runBucket, error) {
	apiManager := connectionsOf("", objects).apiManager
	if !threescale.UsesS3(apiManager) {
		return nil, nil
	}
	b := &runBucket{apiManager: apiManager, objects: objects}
	b.Secret, b.Audience = threescale.FileStorageSecret(apiManager), threescale.FileStorageAudience(apiManager)
	if b.Secret != "" && len(validation.IsDNS1123Subdomain(b.Secret)) > 0 {
		return nil, &failure{v1alpha1.ReasonUnexpectedObject, errors.New("run holds an APIManager that no backup of 3scale holds: the Secret of its file storage has a name that no Secret can have")}
	}
	return b, nil
}

// open returns how to reach the bucket, by the Secret and the token of the options. It fails for what the pod was not
// given, since whoever made it did not know yet what the run names. Errors hold no value of a Secret.
func (b *runBucket) open(o job.FileBucketOptions) (*archive.BucketOptions, error) {
	if b.Secret == "" {
		return nil, usage("cannot find the bucket of the file storage: the APIManager of the run names no Secret of one")
	}
	if b.Audience != "" && o.FileBucketToken == "" {
		return nil, usage("cannot open the bucket of the file storage: the APIManager of the run has a role log in, and the pod has no token for audience %q", b.Audience)
	}
	data, err := b.data(o.FileBucketSecrets)
	if err != nil {
		return nil, err
	}
	return bucketOptions(b.apiManager, data, o.FileBucketToken)
}

// data are those of the Secret, in the run or in the folder.
func (b *runBucket) data(folder string) (map[string][]byte, error) {
	if folder == "" {
		return secretIn(b.objects, b.Secret)
	}
	dir := filepath.Join(folder, filepath.Base(b.Secret))
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, usage("cannot open the bucket of the file storage: the APIManager of the run names Secret %q, which the pod does not have", b.Secret)
	}
	return readSecret(dir, b.Secret)
}

// findBucket finds the bucket that the files of the run go into, and whether the pod has what it takes to log in, before
// the whole run is read. What is wrong with the objects of the run is left to their verification.
func (i *inspector) findBucket(ctx context.Context, run *archive.Run) error {
	if !i.options.FileBucket || !run.HasFiles() {
		return nil
	}
	objects, err := run.Objects(ctx, i.identities...)
	if err != nil {
		return ctx.Err()
	}
	bucket, err := bucketOf(objects)
	if bucket == nil {
		return err
	}
	i.result.FileBucket = &bucket.InspectedBucket
	i.bucket, err = bucket.open(i.options.FileBucketOptions)
	return err
}

// compareBucket is compare for a bucket.
func (i *inspector) compareBucket(ctx context.Context, run *archive.Run) (archive.Comparison, error) {
	found, err := run.CompareBucket(ctx, *i.bucket, archive.RestoreOptions{Identities: i.identities, Progress: PassOn(i.progress)})
	return found, Conceal(*i.bucket, err)
}

// bucketToFill is the bucket that a run is brought into; nil for a directory.
func (r *refiller) bucketToFill(ctx context.Context, run *archive.Run) (*archive.BucketOptions, error) {
	switch {
	case r.env.FileBucket != nil:
		return r.env.FileBucket, nil
	case r.options.FileBucket != (r.options.FileStorage == ""):
		return nil, usage("cannot tell where the files go: name a directory or a bucket, and not both")
	case !r.options.FileBucket:
		return nil, nil
	}
	objects, err := run.Objects(ctx, r.identities...)
	if err != nil {
		return nil, err
	}
	bucket, err := bucketOf(objects)
	if err != nil {
		return nil, err
	}
	if bucket == nil {
		return nil, usage("cannot find the bucket of the file storage: the APIManager of the run names none")
	}
	return bucket.open(r.options.FileBucketOptions)
}
