package job

import (
	"regexp"
	"strings"
)

var sha256Text = regexp.MustCompile(`^[0-9a-f]{64}$`)

// KnownVariable is the variable of a pod's environment that holds what is known of
// runs: texts of KnownManifest, joined by commas. They are no arguments, since a
// mover of an earlier version ends at a flag that it does not know; a Composition
// may name such an image while the function is newer.
const KnownVariable = "KNOWN_MANIFESTS"

// KnownManifest is the text of a flag --known: what the SHA-256 of a run's
// manifest.json must be, in hex. It is "" where the digest is none.
func KnownManifest(run, digest string) string {
	if !IsRunID(run) || !sha256Text.MatchString(digest) {
		return ""
	}
	return run + "=" + digest
}

// KnownManifests returns the digests of flags --known by run.
func KnownManifests(known []string) map[string]string {
	digests := make(map[string]string, len(known))
	for _, text := range known {
		if run, digest, ok := strings.Cut(text, "="); ok {
			digests[run] = digest
		}
	}
	return digests
}
