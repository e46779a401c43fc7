package podpolicy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"threescale.dev/backup/fn/api/v1alpha1"
)

const awsAudience = "sts.amazonaws.com"

var awsSTS = regexp.MustCompile(`^(https://sts(\.[a-z0-9-]+)?\.amazonaws\.com(\.cn)?/?)?$`)

// CheckBucket returns why a bucket is refused, naming the field that would allow it; "" if it is not. A pod sends there
// all that is backed up, and to the security token service a token of its ServiceAccount, whose author may be allowed to
// read neither.
func CheckBucket(allow v1alpha1.Allow, b v1alpha1.Bucket) string {
	name := b.Endpoint + "/" + b.BucketName
	if len(allow.Buckets) > 0 && !slices.ContainsFunc(allow.Buckets, func(pattern string) bool { return matches(pattern, name) }) {
		return fmt.Sprintf("bucket %q is not one that input.allow.buckets of the Composition names", name)
	}
	identity := b.WebIdentity
	if identity == nil || slices.Contains(allow.STSEndpoints, identity.Endpoint) && identity.Endpoint != "" {
		return ""
	}
	if !awsSTS.MatchString(identity.Endpoint) || identity.Audience != "" && identity.Audience != awsAudience {
		return fmt.Sprintf("a token of the pods' ServiceAccount for audience %q would go to %q; input.allow.stsEndpoints of the Composition does not name that service", identity.Audience, identity.Endpoint)
	}
	return ""
}

// matches compares with a pattern that may end in a star.
func matches(pattern, text string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(text, prefix)
	}
	return text == pattern
}
