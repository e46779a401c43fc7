package threescale_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"threescale.dev/backup/fn/threescale"
)

func TestInternalDatabases(t *testing.T) {
	const (
		systemDatabase = "spec.externalComponents.system.database"
		systemRedis    = "spec.externalComponents.system.redis"
		backendRedis   = "spec.externalComponents.backend.redis"
	)
	cases := map[string]struct {
		reason, spec string
		want         []string
	}{
		"AllExternal": {"the three that count are external; zync's may be internal",
			`{"externalComponents": {"system": {"redis": true, "database": true}, "backend": {"redis": true}}}`, nil},
		"Nothing":      {"databases are internal by default", `{}`, []string{systemDatabase, systemRedis, backendRedis}},
		"Legacy":       {"the old field makes all three external", `{"highAvailability": {"enabled": true}}`, nil},
		"LegacyOff":    {"switched off it makes none", `{"highAvailability": {"enabled": false}}`, []string{systemDatabase, systemRedis, backendRedis}},
		"OneMissing":   {"each is judged alone", `{"externalComponents": {"system": {"database": true}, "backend": {"redis": true}}}`, []string{systemRedis}},
		"OneFalse":     {"false is internal", `{"externalComponents": {"system": {"redis": true, "database": true}, "backend": {"redis": false}}}`, []string{backendRedis}},
		"Precedence":   {"the new field counts alone", `{"highAvailability": {"enabled": true}, "externalComponents": {"backend": {"redis": true}}}`, []string{systemDatabase, systemRedis}},
		"EmptyCounts":  {"also when it is empty", `{"highAvailability": {"enabled": true}, "externalComponents": {}}`, []string{systemDatabase, systemRedis, backendRedis}},
		"NullDoesNot":  {"but not when it is null", `{"highAvailability": {"enabled": true}, "externalComponents": null}`, nil},
		"WordIsNoFlag": {"a string is no boolean", `{"externalComponents": {"system": {"redis": "true", "database": true}, "backend": {"redis": true}}}`, []string{systemRedis}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var fields []string
			for _, message := range threescale.InternalDatabases(decode(t, []byte(`{"spec": `+tc.spec+`}`))) {
				_, after, _ := strings.Cut(message, " and set ")
				field, _, _ := strings.Cut(after, " to true")
				fields = append(fields, field)
			}
			assert.Equal(t, tc.want, fields, tc.reason)
		})
	}
}

func TestInternalDatabasesMessage(t *testing.T) {
	apiManager := decode(t, []byte(`{"spec": {"highAvailability": {"enabled": true},
		"externalComponents": {"system": {"database": true}, "backend": {"redis": true}}}}`))
	assert.Equal(t, "system-redis is not external: move it out of the cluster and set spec.externalComponents.system.redis to true"+
		" (spec.highAvailability is ignored because spec.externalComponents is set)",
		threescale.InternalDatabases(apiManager)[0])
}

func TestFileStorage(t *testing.T) {
	const unnamed, both, deprecated = "names no Secret of its bucket", "sets both", "ignores the deprecated amazonSimpleStorageService"
	cases := map[string]struct {
		reason, fileStorage string
		s3                  bool
		problem, deprecated string
	}{
		"Default":    {"without the field the operator makes a volume", `null`, false, "", ""},
		"Empty":      {"an empty union is a volume too", `{}`, false, "", ""},
		"Volume":     {"the union member for a volume", `{"persistentVolumeClaim": {"storageClassName": "x"}}`, false, "", ""},
		"S3":         {"the objects of a bucket are files too", `{"simpleStorageService": {"configurationSecretRef": {"name": "x"}}}`, true, "", ""},
		"Both":       {"the operator refuses two members", `{"persistentVolumeClaim": {}, "simpleStorageService": {}}`, true, both, ""},
		"Deprecated": {"the operator ignores the old member and makes a volume", `{"amazonSimpleStorageService": {"awsBucket": "x"}}`, false, "", deprecated},
		"BothS3":     {"the new member counts", `{"amazonSimpleStorageService": {}, "simpleStorageService": {}}`, true, unnamed, deprecated},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			apiManager := decode(t, []byte(`{"spec": {"system": {"fileStorage": `+tc.fileStorage+`}}}`))
			for _, message := range []struct{ want, got string }{
				{tc.problem, threescale.FileStorageProblem(apiManager)},
				{tc.deprecated, threescale.DeprecatedField(apiManager)},
			} {
				assert.Contains(t, message.got, message.want, tc.reason)
				assert.Equal(t, message.want == "", message.got == "", tc.reason)
			}
			assert.Equal(t, tc.s3, threescale.UsesS3(apiManager), tc.reason)
		})
	}
}
