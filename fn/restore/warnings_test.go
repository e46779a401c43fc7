package restore

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
)

func TestWarnings(t *testing.T) {
	moved := Notes{Rewritten: []string{"APIManager example spec.wildcardDomain"}}
	from := func(namespace string) func(*State) {
		return func(o *State) {
			o.Inspection.Source.Namespace, o.Inspection.Source.APIManager = namespace, "example"
		}
	}
	domain := func(o *State) { o.Restore.Spec.Target.WildcardDomain = "dr.example.com" }
	quiet := func(o *State) { o.Restore.Spec.Target.Quiet = true }
	omit := func(o *State) { o.Restore.Spec.DatabaseSecrets = v1alpha1.DatabaseSecretsOmit }
	inS3 := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"system": map[string]any{"fileStorage": map[string]any{"simpleStorageService": map[string]any{}}}}}}
	unknown := func(o *State) { o.Restore.Spec.RestoreSource.ManifestSHA256 = "" }
	cases := map[string]struct {
		reason     string
		edits      []func(*State)
		apiManager *unstructured.Unstructured
		notes      Notes
		want       []string
	}{
		"InPlace":       {"the installation is the one that was lost", stages(from(namespace)), nil, Notes{}, nil},
		"Beside":        {"it may still run, and its name is told", stages(from("prod")), nil, Notes{}, []string{`if APIManager "example" of namespace "prod" still runs, a copy of its System database bills`, "set spec.target.quiet to true", "set spec.databaseSecrets to Omit"}},
		"Quiet":         {"what stays is the SQL", stages(from("prod"), quiet, omit), nil, Notes{}, []string{"bills", "the copy sends no mail until"}},
		"FilesInS3":     {"they are restored", stages(from(namespace)), inS3, Notes{}, nil},
		"NoFilesInS3":   {"the run has none", stages(from(namespace), func(o *State) { o.Inspection.FileStorage.Stored = false }), inS3, Notes{}, nil},
		"SharedBucket":  {"files of production would be deleted", stages(from("prod"), quiet, omit), inS3, Notes{}, []string{"bills", "no mail", "writes to its S3 bucket, and deletes there: set spec.fileStorage.bucketSecret to Omit"}},
		"OwnBucket":     {"the Secret of the copy leads to its own", stages(from("prod"), quiet, omit, omitBucket), inS3, Notes{}, []string{"bills", "no mail"}},
		"Domain":        {"Zync makes the Routes that the database names, wherever the former installation is", stages(from(namespace), domain, quiet, omit), nil, moved, []string{`the operator waits for Routes below "dr.example.com"`, "bills", "no mail"}},
		"SameDomain":    {"nothing was rewritten", stages(from(namespace), domain), nil, Notes{}, nil},
		"NoFiles":       {"it would come up without any", stages(from(namespace), func(o *State) { o.Inspection.FileStorage.Stored = false }), &unstructured.Unstructured{}, Notes{}, []string{"comes up with an empty file storage"}},
		"FilesThere":    {"those that are there stay", stages(from(namespace), storageMade, func(o *State) { o.Inspection.FileStorage.Stored = false }), &unstructured.Unstructured{}, Notes{}, nil},
		"Unknown":       {"whoever can write to the volume can replace the run", stages(from(namespace), unknown), nil, Notes{}, []string{"set spec.restoreSource.manifestSHA256 to the digest"}},
		"UnknownBucket": {"likewise, and there is no ThreeScaleBackup to name", stages(from(namespace), fromBucket), nil, Notes{}, []string{"whoever can write to the bucket can replace a run: set spec.restoreSource.manifestSHA256 to the digest that you know, as status.manifests"}},
		"KnownBucket":   {"somebody wrote it down", stages(from(namespace), fromBucket, func(o *State) { o.Restore.Spec.RestoreSource.ManifestSHA256 = manifestDigest }), nil, Notes{}, nil},
		"KnownBackup":   {"the ThreeScaleBackup knows it", stages(from(namespace), unknown, fromBackup(run, manifestDigest)), nil, Notes{}, nil},
		"OtherBackup":   {"it knows another run", stages(from(namespace), unknown, fromBackup("20261121t020000z-1a2b3c4d", manifestDigest)), nil, Notes{}, []string{"nothing proves that it is the one that was written"}},
		"Unverified":    {"the operator's backup has no digests", stages(from(namespace), func(o *State) { o.Inspection.Verified = false }), nil, Notes{}, []string{"nothing proves that it is whole"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			known := func(o *State) { o.Restore.Spec.RestoreSource.ManifestSHA256 = manifestDigest }
			o := observed(append(stages(inspected, known), tc.edits...)...)
			got := warnings(o, tc.apiManager, tc.notes)
			assert.Len(t, got, len(tc.want), "%s:\n%s", tc.reason, strings.Join(got, "\n"))
			for i, want := range tc.want {
				if i < len(got) {
					assert.Contains(t, got[i], want, tc.reason)
				}
			}
		})
	}
}
