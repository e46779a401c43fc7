package mover

import (
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/threescale"
)

// fileBucket returns the bucket that the installation of a snapshot keeps its files in. The folder has the token that is
// exchanged for credentials where the APIManager enables a role. Errors name keys of the Secret, and never hold a value.
func (s *snapshot) fileBucket(token string) (*archive.BucketOptions, error) {
	apiManager := &unstructured.Unstructured{}
	if err := s.decode(job.APIManagerFile, &apiManager.Object); err != nil {
		return nil, err
	}
	name := threescale.FileStorageSecret(apiManager)
	if name == "" {
		return nil, usage("cannot find the bucket of the file storage: the APIManager names no Secret of one")
	}
	var secret corev1.Secret
	if err := s.decode(path.Join(job.SecretsDir, name+".json"), &secret); err != nil {
		return nil, err
	}
	b, err := threescale.FileStorageBucket(apiManager, secret.Data)
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

// decode decodes an object of the snapshot.
func (s *snapshot) decode(file string, into any) error {
	i := slices.IndexFunc(s.Objects, func(o archive.ObjectFile) bool { return o.Path == file })
	if i < 0 {
		return usage("cannot find the bucket of the file storage: the snapshot has no %s", file)
	}
	if err := json.Unmarshal(s.Objects[i].Data, into); err != nil {
		return fmt.Errorf("cannot decode %s of the snapshot: %w", file, err)
	}
	return nil
}
