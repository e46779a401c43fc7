package preflight

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/podpolicy"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// These are the patterns of the schema.
var (
	endpoint   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*[a-z0-9]$`)
	prefix     = regexp.MustCompile(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$`)
)

// offsiteFields checks each field of spec.offsite by itself.
func offsiteFields(spec v1alpha1.ThreeScaleBackupSpec) []field {
	o := spec.Offsite
	if o == nil {
		return nil
	}
	return []field{
		{"offsite.bucket", checkBucket(o.Bucket)},
		{"offsite.retention", checkRetention(o.Retention)},
		{"offsite.objectLock", checkLock(o.ObjectLock)},
		{"offsite.verify.schedule", checkOffsiteVerify(o.Verify, spec.TimeZone)},
	}
}

// checkBucket looks at the fields of a bucket, not at the bucket.
func checkBucket(b v1alpha1.Bucket) error {
	isDots := func(segment string) bool { return segment == "." || segment == ".." }
	switch {
	case !endpoint.MatchString(b.Endpoint):
		return fmt.Errorf(text.EndpointInvalid, b.Endpoint)
	case !bucketName.MatchString(b.BucketName):
		return fmt.Errorf(text.BucketNameInvalid, b.BucketName)
	case b.Prefix != "" && (!prefix.MatchString(b.Prefix) || slices.ContainsFunc(strings.Split(b.Prefix, "/"), isDots)):
		return fmt.Errorf(text.PrefixInvalid, b.Prefix)
	case b.SecretRef != nil && b.WebIdentity != nil:
		return errors.New(text.TwoIdentities)
	case b.SecretRef == nil && b.WebIdentity == nil:
		return errors.New(text.NoIdentity)
	case b.WebIdentity != nil && b.WebIdentity.RoleARN == "":
		return errors.New(text.NoRole)
	case b.SecretRef != nil && b.SecretRef.Name == "", b.CertSecretRef != nil && b.CertSecretRef.Name == "", b.ProxySecretRef != nil && b.ProxySecretRef.Name == "":
		return errors.New(text.NoSecretName)
	}
	return nil
}

func checkLock(lock *v1alpha1.ObjectLock) error {
	switch {
	case lock == nil:
		return nil
	case lock.Mode != v1alpha1.LockGovernance && lock.Mode != v1alpha1.LockCompliance:
		return fmt.Errorf(text.LockModeInvalid, lock.Mode)
	case lock.Days < 1:
		return fmt.Errorf(text.LockDaysInvalid, lock.Days)
	}
	return nil
}

func checkOffsiteVerify(verify *v1alpha1.OffsiteVerify, timeZone string) error {
	switch {
	case verify == nil:
		return nil
	case verify.Schedule == "":
		return errors.New(text.NoBucketVerifySlots)
	}
	return checkSchedule(verify.Schedule, timeZone)
}

// checkBucketUse looks at the fields of spec.offsite, at whether the bucket is allowed, at which of its Secrets there
// are, and at their keys.
func checkBucketUse(f *facts.Facts) []text.Finding {
	if f.Spec.Offsite == nil {
		return nil
	}
	out := invalid(v1alpha1.ReasonInvalidOffsite, offsiteFields(f.Spec))
	if len(out) > 0 {
		return out
	}
	if refused := podpolicy.CheckBucket(f.Allow, f.Spec.Offsite.Bucket); refused != "" {
		out = text.Findingf(v1alpha1.ReasonBucketRefused, "%s", job.Sentence(fmt.Sprintf(text.BucketRefused, refused)))
	}
	for _, wanted := range specs.BucketSecrets(f.Spec.Offsite.Bucket) {
		found := f.BucketSecrets[wanted.Name]
		if found != nil && wanted.HasKeys(slices.Collect(maps.Keys(found.Encoded))) {
			continue
		}
		format := text.BucketSecretMissing
		if found != nil {
			format = text.BucketSecretLacks
		}
		out = append(out, text.Findingf(v1alpha1.ReasonBucketSecretMissing, format, wanted.Name, wanted.Field, f.Namespace, wanted.Needs())...)
	}
	return out
}

// bucketOnCluster warns of an object store that the host's name shows to be a Service:
// <service>, or <service>.<namespace>.svc with the cluster's domain behind it or not.
func bucketOnCluster(f *facts.Facts) []text.Finding {
	if f.Spec.Offsite == nil {
		return nil
	}
	host := f.Spec.Offsite.Bucket.Endpoint
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(host, ".")), ".")
	if host == "" || len(labels) > 1 && slices.Index(labels, "svc") != 2 {
		return nil
	}
	return text.Findingf(v1alpha1.ReasonBucketOnCluster, text.BucketOnCluster, f.Spec.Offsite.Bucket.Endpoint)
}

// isSameBucket reports whether copies of runs would be among the files of the installation: System has all of its bucket,
// so that no prefix keeps them apart.
func isSameBucket(files threescale.Bucket, offsite v1alpha1.Bucket) bool {
	return files.Name == offsite.BucketName && objectStore(files.Endpoint, files.Insecure) == objectStore(offsite.Endpoint, offsite.Insecure)
}

// objectStore returns what of an endpoint tells object stores apart. Amazon's has an endpoint for each region, and no two
// buckets of one name.
func objectStore(endpoint string, insecure bool) string {
	usual := ":443"
	if insecure {
		usual = ":80"
	}
	host := strings.TrimSuffix(strings.ToLower(endpoint), usual)
	for _, amazon := range []string{"amazonaws.com", "amazonaws.com.cn"} {
		if strings.HasSuffix(host, "."+amazon) {
			return amazon
		}
	}
	return host
}
