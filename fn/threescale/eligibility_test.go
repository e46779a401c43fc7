package threescale_test

import (
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
			for _, finding := range threescale.InternalDatabases(decode(t, []byte(`{"spec": `+tc.spec+`}`))) {
				assert.Equal(t, threescale.InternalDatabase, finding.Code)
				assert.True(t, finding.Blocking)
				assert.Contains(t, finding.Message, "set "+finding.Field+" to true")
				fields = append(fields, finding.Field)
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
		threescale.InternalDatabases(apiManager)[0].Message)
}

func TestIsExternalZync(t *testing.T) {
	cases := map[string]struct {
		reason, spec string
		want         bool
	}{
		"New":           {"the new field has its own member", `{"externalComponents": {"zync": {"database": true}}}`, true},
		"NewUnset":      {"which is false by default", `{"externalComponents": {}}`, false},
		"Legacy":        {"the old field has a member for zync", `{"highAvailability": {"enabled": true, "externalZyncDatabaseEnabled": true}}`, true},
		"LegacyUnset":   {"which is false by default", `{"highAvailability": {"enabled": true}}`, false},
		"LegacyWithout": {"and means nothing alone", `{"highAvailability": {"externalZyncDatabaseEnabled": true}}`, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			apiManager := decode(t, []byte(`{"spec": `+tc.spec+`}`))
			assert.Equal(t, tc.want, threescale.IsExternal(apiManager, threescale.ZyncDatabase), tc.reason)
		})
	}
}

func TestCheckFileStorage(t *testing.T) {
	cases := map[string]struct {
		reason, fileStorage string
		s3                  bool
		codes               []threescale.Code
		blocking            []bool
	}{
		"Default": {"without the field the operator makes a volume", `null`, false, nil, nil},
		"Empty":   {"an empty union is a volume too", `{}`, false, nil, nil},
		"Volume":  {"the union member for a volume", `{"persistentVolumeClaim": {"storageClassName": "x"}}`, false, nil, nil},
		"S3": {"a bucket cannot be copied to a volume", `{"simpleStorageService": {"configurationSecretRef": {"name": "x"}}}`, true,
			[]threescale.Code{threescale.S3FileStorage}, []bool{true}},
		"Both": {"the operator refuses two members", `{"persistentVolumeClaim": {}, "simpleStorageService": {}}`, true,
			[]threescale.Code{threescale.FileStorageConflict}, []bool{true}},
		"Deprecated": {"the operator ignores the old member and makes a volume", `{"amazonSimpleStorageService": {"awsBucket": "x"}}`, false,
			[]threescale.Code{threescale.DeprecatedS3Ignored}, []bool{false}},
		"BothS3": {"the new member counts", `{"amazonSimpleStorageService": {}, "simpleStorageService": {}}`, true,
			[]threescale.Code{threescale.S3FileStorage, threescale.DeprecatedS3Ignored}, []bool{true, false}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			apiManager := decode(t, []byte(`{"spec": {"system": {"fileStorage": `+tc.fileStorage+`}}}`))
			var codes []threescale.Code
			var blocking []bool
			for _, finding := range threescale.CheckFileStorage(apiManager) {
				codes = append(codes, finding.Code)
				blocking = append(blocking, finding.Blocking)
				assert.Contains(t, finding.Field, "spec.system.fileStorage.")
				assert.NotEmpty(t, finding.Message)
			}
			assert.Equal(t, tc.codes, codes, tc.reason)
			assert.Equal(t, tc.blocking, blocking, tc.reason)
			assert.Equal(t, tc.s3, threescale.UsesS3(apiManager), tc.reason)
		})
	}
}
