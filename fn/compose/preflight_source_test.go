package compose_test

import (
	"encoding/base64"
	"fmt"
	"strings"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

// sourceRefusals: installations that a backup cannot hold.
func sourceRefusals() map[string]refusal {
	cases := map[string]refusal{
		"NoAPIManager": {
			reason:  "the claim is in the wrong namespace",
			arrange: func(w *world) { w.Delete("APIManager", namespace, "example") },
			want:    v1alpha1.ReasonAPIManagerNotFound, holds: []string{"has no APIManager", "in the namespace of the installation"},
		},
		"UnknownAPIManager": {
			reason: "a typing error", spec: beside(`apiManagerName: exampel`),
			want: v1alpha1.ReasonAPIManagerNotFound, holds: []string{`"exampel"`, "spec.apiManagerName"},
		},
		"TwoAPIManagers": {
			reason:  "which one is meant must be said",
			options: func(o *dataset.Options) { o.SecondAPIManager = true },
			want:    v1alpha1.ReasonSeveralAPIManagers, holds: []string{"example, example-second", "spec.apiManagerName"},
		},
		"LegacyHighAvailabilityDisabled": {
			reason: "without externalComponents the older field counts",
			arrange: func(w *world) {
				w.editNamed("APIManager", "example", func(o map[string]any) {
					spec := o["spec"].(map[string]any)
					delete(spec, "externalComponents")
					spec["highAvailability"] = map[string]any{"enabled": false}
				})
			},
			want: v1alpha1.ReasonInternalDatabases, holds: []string{"system-database", "system-redis", "backend-redis"},
		},
		"LegacyHighAvailabilityIgnored": {
			reason:  "externalComponents counts alone, and the user should know",
			options: func(o *dataset.Options) { o.InternalDatabases = []threescale.Database{threescale.SystemRedis} },
			arrange: func(w *world) {
				w.editNamed("APIManager", "example", set(true, "spec", "highAvailability", "enabled"))
			},
			want: v1alpha1.ReasonInternalDatabases, holds: []string{"system-redis", "spec.highAvailability is ignored"},
		},
		"InvalidReference": {
			reason: "the API server would answer the request for such a name with an error, and nothing would be told",
			arrange: func(w *world) {
				w.editNamed("APIManager", "example", set("../kube-system/token", "spec", "apicast", "productionSpec", "httpsCertificateSecretRef", "name"))
			},
			want: v1alpha1.ReasonInvalidReference, holds: []string{"spec.apicast.productionSpec.httpsCertificateSecretRef"},
		},
		"NameTooLongForItsFile": {
			reason:  "the Job would find it out: 255 bytes are a file's name, with .json.age at its end",
			spec:    beside(`encryption: {age: {recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]}}`),
			arrange: func(w *world) { w.refer(strings.Repeat("n", 247)) },
			want:    v1alpha1.ReasonInvalidReference, holds: []string{"spec.apicast.stagingSpec.customPolicies[0].secretRef", "247 characters", "can have 246"},
		},
		"NameTooLongForItsPlainFile": {
			reason:  "likewise, with .json",
			arrange: func(w *world) { w.refer(strings.Repeat("n", 251)) },
			want:    v1alpha1.ReasonInvalidReference, holds: []string{"251 characters", "can have 250"},
		},
		"S3WithoutKeys": {
			reason:  "the mover would fail",
			options: func(o *dataset.Options) { o.S3 = true },
			arrange: func(w *world) {
				if w.Get("Secret", namespace, "file-storage-s3") != nil { // a run of before had a volume
					w.editNamed("Secret", "file-storage-s3", set(map[string]any{"AWS_BUCKET": "ZmlsZXM=", "AWS_PATH_STYLE": "cGVyaGFwcw=="}, "data"))
				}
			},
			want: v1alpha1.ReasonFileStorageUnusable, holds: []string{"key AWS_REGION is missing or empty", "key AWS_PATH_STYLE is neither true nor false", "key AWS_SECRET_ACCESS_KEY is missing or empty"},
		},
		"S3AndVolume": {
			reason: "the operator refuses it too",
			arrange: func(w *world) {
				w.editNamed("APIManager", "example", set(map[string]any{"configurationSecretRef": map[string]any{"name": "apicast-certificate"}},
					"spec", "system", "fileStorage", "simpleStorageService"))
			},
			want: v1alpha1.ReasonFileStorageUnusable, holds: []string{"both"},
		},
		"FileStorageMissing": {
			reason:  "a Job would wait for it for ever",
			arrange: func(w *world) { w.Delete("PersistentVolumeClaim", namespace, "system-storage") },
			want:    v1alpha1.ReasonFileStorageNotFound, holds: []string{"system-storage", "spec.fileStorage to Skip"},
		},
		"FileStorageTerminating": {
			reason:  "no new pod may mount it",
			arrange: func(w *world) { w.editNamed("PersistentVolumeClaim", "system-storage", terminating) },
			want:    v1alpha1.ReasonFileStorageUnusable, holds: []string{"being deleted"},
		},
		"FileStorageLost": {
			reason:  "its volume is gone",
			arrange: func(w *world) { w.editNamed("PersistentVolumeClaim", "system-storage", set("Lost", "status", "phase")) },
			want:    v1alpha1.ReasonFileStorageUnusable, holds: []string{"lost its volume"},
		},
		"FileStorageForOnePod": {
			reason:  "the installation's own pod has it",
			options: func(o *dataset.Options) { o.AccessMode = "ReadWriteOncePod" },
			want:    v1alpha1.ReasonFileStorageUnusable, holds: []string{"ReadWriteOncePod"},
		},
		"ConfigMapMissing": {
			reason:  "what the user changed in it is written nowhere else",
			options: func(o *dataset.Options) { o.MissingConfigMaps = []string{"system-environment"} },
			want:    v1alpha1.ReasonConfigMapMissing, holds: []string{"system-environment"},
		},
	}
	for _, database := range []threescale.Database{threescale.SystemDatabase, threescale.SystemRedis, threescale.BackendRedis} {
		cases["Internal/"+string(database)] = refusal{
			reason:  "its contents would be in no backup",
			options: func(o *dataset.Options) { o.InternalDatabases = []threescale.Database{database} },
			want:    v1alpha1.ReasonInternalDatabases, holds: []string{string(database) + " is not external"},
		}
	}
	return cases
}

func terminating(o map[string]any) {
	set(noon.Format("2006-01-02T15:04:05Z"), "metadata", "deletionTimestamp")(o)
}

// secretRefusals: each Secret that an installation cannot do without, and what
// is too large to be copied.
func secretRefusals() map[string]refusal {
	cases := map[string]refusal{
		"SecretsTooLarge": {
			reason: "core takes 4 MiB of a function: what is larger would end in an error that says nothing",
			arrange: func(w *world) {
				for i, name := range []string{"apicast-custom-policy", "apicast-custom-environment", "apicast-certificate"} {
					w.editNamed("Secret", name, set(encoded(700<<10+i), "data", "large"))
				}
			},
			want: v1alpha1.ReasonSecretsTooLarge, holds: []string{"2560Ki", "largest"},
		},
		"ObjectsTooLarge": {
			reason: "one Secret holds 1 MiB at most",
			arrange: func(w *world) {
				w.editNamed("ConfigMap", "system-environment", set(strings.Repeat("x", 1<<20), "data", "LARGE"))
			},
			want: v1alpha1.ReasonObjectsTooLarge, holds: []string{"1000Ki"},
		},
		"AllSecretsMissing": {
			reason: "all names are told at once",
			arrange: func(w *world) {
				for _, object := range threescale.Secrets(nil) {
					w.Delete("Secret", namespace, object.Name)
				}
			},
			want:  v1alpha1.ReasonSecretMissing,
			holds: []string{"backend-internal-api, backend-listener, backend-redis, system-app, system-database, system-events-hook, system-master-apicast, system-redis, system-seed, system-smtp, zync"},
			lack:  []string{"system-memcache", "system-recaptcha"},
		},
	}
	for _, name := range requiredSecrets() {
		cases["Missing/"+name] = refusal{
			reason:  "a backup without it brings no installation back",
			options: func(o *dataset.Options) { o.MissingSecrets = []string{name} },
			want:    v1alpha1.ReasonSecretMissing, holds: []string{name},
		}
	}
	return cases
}

// requiredSecrets are those of the chapter and those that the data set's
// APIManager refers to.
func requiredSecrets() []string {
	names := []string{"apicast-certificate", "apicast-custom-environment", "apicast-custom-policy", "apicast-opentelemetry"}
	for _, object := range threescale.Secrets(nil) {
		if object.Required {
			names = append(names, object.Name)
		}
	}
	if len(names) != 15 {
		panic(fmt.Sprintf("11 of the 13 Secrets and 4 references are required, not %v", names))
	}
	return names
}

// encoded is a value of so many bytes as a Secret holds it.
func encoded(bytes int) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", bytes)))
}
