package specs

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

const (
	volumeBucketCredentials = "bucket-credentials"
	volumeBucketCA          = "bucket-ca"
	volumeBucketProxy       = "bucket-proxy"
	volumeBucketIdentity    = "bucket-identity"

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
	// Needs has the keys of which the Secret must have all of one set.
	Needs [][]string
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
			Needs: [][]string{{"accesskey", "secretkey"}, {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}}, May: []string{"sessiontoken", "AWS_SESSION_TOKEN"},
			volume: volumeBucketCredentials, path: job.BucketCredentialsPath,
		})
	}
	if b.CertSecretRef != nil {
		out = append(out, BucketSecret{
			Name: b.CertSecretRef.Name, Field: "certSecretRef", Needs: [][]string{{"ca.crt"}},
			volume: volumeBucketCA, path: job.BucketCAPath,
		})
	}
	if b.ProxySecretRef != nil {
		out = append(out, BucketSecret{
			Name: b.ProxySecretRef.Name, Field: "proxySecretRef", Needs: [][]string{{"address"}}, May: []string{"username", "password"},
			volume: volumeBucketProxy, path: job.BucketProxyPath,
		})
	}
	return slices.DeleteFunc(out, func(s BucketSecret) bool { return s.Name == "" })
}

// bucketMounts mounts what a Job needs for a bucket. The kubelet reads the Secrets
// themselves, so that a key that is replaced reaches a pod at work.
func bucketMounts(b v1alpha1.Bucket) []mount {
	var out []mount
	for _, secret := range BucketSecrets(b) {
		out = append(out, mount{secret.volume, secret.path, true, projected(someOf(secret.Name, slices.Concat(slices.Concat(secret.Needs...), secret.May)))})
	}
	if b.WebIdentity != nil {
		token := &corev1.ServiceAccountTokenProjection{Audience: cmp.Or(b.WebIdentity.Audience, defaultAudience), Path: tokenFile}
		out = append(out, mount{volumeBucketIdentity, job.BucketTokenPath, true, projected(corev1.VolumeProjection{ServiceAccountToken: token})})
	}
	return out
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
