package specs

import (
	"cmp"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

const (
	volumeBucketCredentials = "bucket-credentials" //nolint:gosec // the name of a volume
	volumeBucketCA          = "bucket-ca"
	volumeBucketProxy       = "bucket-proxy"
	volumeBucketIdentity    = "bucket-identity"

	volumeFileBucketIdentity = "file-bucket-identity"
	volumeFileBucketSecret   = "file-bucket-secret" //nolint:gosec // the name of a volume

	defaultAudience = "sts.amazonaws.com"
	tokenFile       = "token"
)

// BucketOptions returns the mover's options for a bucket; prefix is where the runs are
// in it if b does not say so.
func BucketOptions(b v1alpha1.Bucket, prefix string) job.BucketOptions {
	out := job.BucketOptions{
		Provider:  string(cmp.Or(b.Provider, v1alpha1.BucketGeneric)),
		Endpoint:  b.Endpoint,
		Bucket:    b.BucketName,
		Prefix:    cmp.Or(b.Prefix, prefix),
		Region:    b.Region,
		Insecure:  b.Insecure,
		Checksums: string(cmp.Or(b.Checksums, v1alpha1.ChecksumsSHA256)),
	}
	if b.SecretRef != nil {
		out.Credentials = job.BucketCredentialsPath
	}
	if b.CertSecretRef != nil {
		out.CA = job.BucketCAPath
	}
	if b.ProxySecretRef != nil {
		out.Proxy = job.BucketProxyPath
	}
	if identity := b.WebIdentity; identity != nil {
		out.RoleARN, out.Token, out.STSEndpoint = identity.RoleARN, job.BucketTokenPath, identity.Endpoint
	}
	return out
}

// BucketSecret is a Secret that a bucket names, and what the mover reads of it.
type BucketSecret struct {
	Name string
	// Field of v1alpha1.Bucket that names it.
	Field string
	// Keys are those that it must have: all of one of these lists.
	Keys [][]string
	// May has further keys.
	May []string

	volume, path string
}

// BucketSecrets returns the Secrets that b names. A name that is empty is none.
func BucketSecrets(b v1alpha1.Bucket) []BucketSecret {
	var out []BucketSecret
	if b.SecretRef != nil {
		out = append(out, BucketSecret{
			Name: b.SecretRef.Name, Field: "secretRef",
			Keys: [][]string{{"accesskey", "secretkey"}, {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}}, May: []string{"sessiontoken", "AWS_SESSION_TOKEN"},
			volume: volumeBucketCredentials, path: job.BucketCredentialsPath,
		})
	}
	if b.CertSecretRef != nil {
		out = append(out, BucketSecret{
			Name: b.CertSecretRef.Name, Field: "certSecretRef", Keys: [][]string{{"ca.crt"}},
			volume: volumeBucketCA, path: job.BucketCAPath,
		})
	}
	if b.ProxySecretRef != nil {
		out = append(out, BucketSecret{
			Name: b.ProxySecretRef.Name, Field: "proxySecretRef", Keys: [][]string{{"address"}}, May: []string{"username", "password"},
			volume: volumeBucketProxy, path: job.BucketProxyPath,
		})
	}
	return slices.DeleteFunc(out, func(s BucketSecret) bool { return s.Name == "" })
}

// HasKeys reports whether a Secret with these keys can be used.
func (s BucketSecret) HasKeys(keys []string) bool {
	return slices.ContainsFunc(s.Keys, func(needed []string) bool {
		return !slices.ContainsFunc(needed, func(key string) bool { return !slices.Contains(keys, key) })
	})
}

// Needs names the keys that the Secret must have.
func (s BucketSecret) Needs() string {
	lists := make([]string, 0, len(s.Keys))
	for _, needed := range s.Keys {
		lists = append(lists, strings.Join(needed, " and "))
	}
	if len(s.Keys) == 1 && len(s.Keys[0]) == 1 {
		return "the key " + lists[0]
	}
	return "the keys " + strings.Join(lists, ", or ")
}

// bucketMounts mounts what a Job needs for a bucket. The kubelet reads the Secrets
// themselves, and the mover reads them once: a key that is replaced reaches the next try.
func bucketMounts(b v1alpha1.Bucket) []mount {
	var out []mount
	for _, secret := range BucketSecrets(b) {
		out = append(out, mount{secret.volume, secret.path, true, projected(someOf(secret.Name, slices.Concat(slices.Concat(secret.Keys...), secret.May)))})
	}
	if b.WebIdentity != nil {
		out = append(out, tokenMount(volumeBucketIdentity, job.BucketTokenPath, cmp.Or(b.WebIdentity.Audience, defaultAudience)))
	}
	return out
}

// options returns the mover's options for the bucket of the file storage in a restore.
func (b *FileBucket) options() job.FileBucketOptions {
	if b == nil {
		return job.FileBucketOptions{}
	}
	out := job.FileBucketOptions{FileBucket: true, FileBucketToken: b.tokenPath()}
	if b.Live {
		out.FileBucketSecrets = job.FileBucketSecretsPath
	}
	return out
}

// mounts are what a Job needs for that bucket beside the run or the snapshot.
func (b *FileBucket) mounts() []mount {
	var out []mount
	if token := b.tokenPath(); token != "" {
		out = append(out, tokenMount(volumeFileBucketIdentity, token, b.Audience))
	}
	if b != nil && b.Secret != "" && len(b.Keys) > 0 { // without items, the whole Secret would be mounted
		out = append(out, mount{volumeFileBucketSecret, path.Join(job.FileBucketSecretsPath, b.Secret), true, projected(someOf(b.Secret, b.Keys))})
	}
	return out
}

// tokenMount mounts a token of the pod's ServiceAccount.
func tokenMount(name, path, audience string) mount {
	token := &corev1.ServiceAccountTokenProjection{Audience: audience, Path: tokenFile}
	return mount{name, path, true, projected(corev1.VolumeProjection{ServiceAccountToken: token})}
}

// someOf projects those of the keys that a Secret has. Nothing of it is required: a pod
// whose Secret is missing would not start, and so not tell.
func someOf(secret string, keys []string) corev1.VolumeProjection {
	items := make([]corev1.KeyToPath, 0, len(keys))
	for _, key := range keys {
		items = append(items, corev1.KeyToPath{Key: key, Path: key})
	}
	out := projection(secret, items)
	out.Secret.Optional = new(true)
	return out
}
