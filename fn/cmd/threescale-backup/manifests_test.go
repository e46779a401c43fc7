package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

// canary is a value that no error may tell.
const canary = "hunter2hunter2"

const head = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"

// TestManifestsAreRefused: what the API server, or kubectl by its default, would refuse, or make something else of.
func TestManifestsAreRefused(t *testing.T) {
	coded := base64.StdEncoding.EncodeToString([]byte(canary))
	cases := map[string]struct {
		reason, text, says string
	}{
		"NotBase64":         {"a value that somebody forgot to encode", head + "data: {a: " + canary + "!}", `Secret "a": data: the value of key "a" is not base64`},
		"NoPadding":         {"half a value", head + "data: {a: " + strings.TrimRight(coded, "=") + "}", "is not base64"},
		"Number":            {"kubectl does not guess", head + "stringData: {PORT: 5432}", `stringData: the value of key "PORT" is not a string`},
		"Boolean":           {"YAML takes yes for true", head + "stringData: {a: yes}", `key "a" is not a string`},
		"DataIsAList":       {"a typing mistake", head + "data: [" + canary + "]", "data is not a map of strings"},
		"KeyOutside":        {"an indent too little, and the Secret would be empty", head + "data:\nPASSWORD: " + coded, `a field "PASSWORD"`},
		"WrongCase":         {"likewise", head + "stringdata: {a: " + canary + "}", `a field "stringdata"`},
		"BadKey":            {"no Secret can have it", head + "stringData: {\"a b\": " + canary + "}", `an invalid key "a b"`},
		"TooLarge":          {"1 MiB", head + "stringData: {a: " + strings.Repeat("x", 1<<20) + ", b: " + canary + "}", "more than the 1048576 that"},
		"TypeIsNoText":      {"", head + "type: 5", "its type is not a string"},
		"Immutable":         {"", head + "immutable: maybe", "immutable is neither true nor false"},
		"TLSWithoutKey":     {"the API server checks what each type holds", head + "type: kubernetes.io/tls\nstringData: {tls.crt: " + canary + "}", `no key "tls.key"`},
		"DockerConfig":      {"likewise", head + "type: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: " + canary + "}", "is not JSON"},
		"OldDockerConfig":   {"likewise", head + "type: kubernetes.io/dockercfg\nstringData: {.dockerconfigjson: '{}'}", `no key ".dockercfg"`},
		"BasicAuth":         {"likewise", head + "type: kubernetes.io/basic-auth\nstringData: {user: " + canary + "}", "neither key"},
		"SSHAuth":           {"likewise", head + "type: kubernetes.io/ssh-auth\nstringData: {key: " + canary + "}", `no key "ssh-privatekey"`},
		"Token":             {"likewise", head + "type: kubernetes.io/service-account-token\nstringData: {token: " + canary + "}", "no annotation"},
		"SOPS":              {"ENC[...] would be backed up as the value", head + "stringData: {a: 'ENC[AES256_GCM,data:" + canary + "]'}\nsops: {mac: x}", "encrypted by SOPS"},
		"KeyTwice":          {"one of them would be lost", head + "data: {}\ndata: {a: " + coded + "}", "a field is in it twice"},
		"KeyTwiceBelow":     {"likewise", head + "stringData:\n  a: x\n  a: " + canary, "a field is in it twice"},
		"KeyTwiceInJSON":    {"likewise", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"stringData":{"a":"x","a":"` + canary + `"}}`, "a field is in it twice"},
		"Twice":             {"one of them would be lost", head + "---\n" + head + "stringData: {a: " + canary + "}", `Secret "a" is in `},
		"TwiceInAList":      {"likewise", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: a}}\n- {apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {a: " + canary + "}}", `item 2 of the list: Secret "a" is in `},
		"MalformedYAML":     {"the parser would quote it", head + "data: {a: " + canary, "document 1: it is malformed YAML"},
		"MalformedJSON":     {"likewise", `{"apiVersion":"v1","a":"` + canary, "malformed JSON"},
		"SecondDocument":    {"the one is named", head + "---\n\tdata: " + canary, "document 2"},
		"Text":              {"a file of something else", canary, "it is not an object"},
		"NoKind":            {"values of a chart", "password: " + canary, "no kind"},
		"NoVersion":         {"", "kind: Secret\nmetadata: {name: a}\nstringData: {a: " + canary + "}", "no apiVersion"},
		"Kustomization":     {"it makes other objects of those that lie beside it", "resources: [a.yaml]", "it is a kustomization"},
		"TypedKustomize":    {"likewise", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nsecretGenerator: []", "it is a kustomization"},
		"OtherVersion":      {"there is no such API", "apiVersion: core/v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: " + canary + "}", `a Secret of "core/v1", but an installation has those of "v1"`},
		"OtherAPIManager":   {"likewise", "apiVersion: apps.3scale.net/v1\nkind: APIManager\nmetadata: {name: a}", `has those of "apps.3scale.net/v1alpha1"`},
		"GenerateName":      {"each time another", "apiVersion: v1\nkind: Secret\nmetadata: {generateName: a-}\nstringData: {a: " + canary + "}", "generateName"},
		"NoName":            {"", "apiVersion: v1\nkind: Secret\nmetadata: {}", "a Secret has no metadata.name"},
		"NoMetadata":        {"", "apiVersion: v1\nkind: Secret", "a Secret has no metadata.name"},
		"NameUpperCase":     {"no object can be called so", "apiVersion: v1\nkind: Secret\nmetadata: {name: A}", "metadata.name"},
		"NamePath":          {"nor so", "apiVersion: v1\nkind: Secret\nmetadata: {name: ../a}", "metadata.name"},
		"NameTooLong":       {"", "apiVersion: v1\nkind: Secret\nmetadata: {name: " + strings.Repeat("a", 254) + "}", "metadata.name"},
		"NameIsANumber":     {"", "apiVersion: v1\nkind: Secret\nmetadata: {name: 5}", "the wrong type"},
		"BadNamespace":      {"", "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: a.b}", "metadata.namespace"},
		"ClusterScoped":     {"a StorageClass is in no namespace", "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: a, namespace: b}\nprovisioner: x", "metadata.namespace"},
		"LabelIsANumber":    {"", "apiVersion: v1\nkind: Secret\nmetadata: {name: a, labels: {a: 5}}", "the wrong type"},
		"BadLabel":          {"", "apiVersion: v1\nkind: Secret\nmetadata: {name: a, labels: {a: 'x y'}}", "metadata.labels"},
		"UnknownInMetadata": {"a label that is none", "apiVersion: v1\nkind: Secret\nmetadata: {name: a, label: {a: b}}", `unknown field "label"`},
		"BothInConfigMap":   {"which of them is meant", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: x}\nbinaryData: {k: eA==}", `key "k" is in data and in binaryData`},
		"BinaryNotBase64":   {"", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nbinaryData: {k: '" + canary + "!'}", "is not base64"},
		"ConfigMapNumber":   {"", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: 1}", "is not a string"},
		"ConfigMapStrings":  {"a ConfigMap has none", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nstringData: {k: x}", `a field "stringData"`},
		"ClaimField":        {"a typing mistake", "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a}\nspec: {accessMode: [ReadWriteOnce]}", `unknown field "spec.accessMode"`},
		"ClaimQuantity":     {"", "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a}\nspec: {resources: {requests: {storage: much}}}", "the wrong type"},
		"ItemsOfNoList":     {"", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nitems: []", "its kind does not end in List"},
		"ItemIsText":        {"", "apiVersion: v1\nkind: List\nitems: [" + canary + "]", "item 1 of the list is not an object"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := "a.yaml"
			if strings.HasPrefix(tc.text, "{") {
				file = "a.json"
			}
			put(t, dir, file, tc.text)
			_, err := readManifests(dir)
			require.ErrorContains(t, err, tc.says, tc.reason)
			assert.ErrorContains(t, err, file, "where it is")
			assert.NotContains(t, err.Error(), canary)
			assert.NotContains(t, err.Error(), coded[:12])
		})
	}
}

// TestManifestsAreTakenAsTheAPIServerWould: what it takes, and makes of it.
func TestManifestsAreTakenAsTheAPIServerWould(t *testing.T) {
	cases := map[string]struct {
		reason, text, want string
	}{
		"StringData":     {"it is merged into data, and wins", head + "data: {a: eA==, b: eQ==}\nstringData: {b: z, c: ''}", "[" + typed + ", data: {a: eA==, b: eg==, c: ''}}]"},
		"OnlyStringData": {"the usual form", head + "type: Opaque\nstringData: {a: x}", "[" + typed + ", data: {a: eA==}}]"},
		"Nothing":        {"a Secret may hold nothing", head + "data: {}\nstringData:\n", "[" + typed + "}]"},
		"Null":           {"an empty value", head + "data: {a: null}", "[" + typed + ", data: {a: ''}}]"},
		"LineBreaks":     {"base64 of another writer", head + "data:\n  a: |\n    eH\n    g=\n", "[" + typed + ", data: {a: eHg=}}]"},
		"Type":           {"is kept", head + "type: mine", "[" + strings.Replace(typed, "Opaque", "mine", 1) + "}]"},
		"Documents":      {"with empty ones and comments", "---\n# nothing\n---\n" + head + "---\n", "[" + typed + "}]"},
		"List":           {"of kubectl get", "apiVersion: v1\nkind: List\nmetadata: {resourceVersion: ''}\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {a: x}}", "[" + typed + ", data: {a: eA==}}]"},
		"TypedList":      {"of the API itself, whose items do not say what they are", `{"apiVersion":"v1","kind":"SecretList","items":[{"metadata":{"name":"a"},"data":{"a":"eA=="}}]}`, "[" + typed + ", data: {a: eA==}}]"},
		"ListOfLists":    {"as kubectl takes it", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items: [{apiVersion: v1, kind: Secret, metadata: {name: a}}]", "[" + typed + "}]"},
		"JSONStream":     {"as jq writes it", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}} {"apiVersion":"v1","kind":"Secret","metadata":{"name":"b"}}`, "[" + typed + "}, " + strings.Replace(typed, "name: a", "name: b", 1) + "}]"},
		"Binary":         {"bytes of a ConfigMap", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {t: x, e: null}\nbinaryData: {b: /w==}", "[{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {t: x, e: ''}, binaryData: {b: /w==}}]"},
		"Dumped":         {"what the API server noted is no mistake", "apiVersion: v1\nkind: Secret\nmetadata: {name: a, uid: u, resourceVersion: '5', creationTimestamp: '2026-11-22T12:00:00Z', managedFields: []}", "[{apiVersion: v1, kind: Secret, type: Opaque, metadata: {name: a, uid: u, resourceVersion: '5', creationTimestamp: '2026-11-22T12:00:00Z', managedFields: []}}]"},
		"SameName":       {"in two namespaces, or of two kinds", "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: one}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: two}\n---\napiVersion: a.io/v1\nkind: Thing\nmetadata: {name: a, namespace: two}\n---\napiVersion: b.io/v1\nkind: Thing\nmetadata: {name: a, namespace: two}", "[{apiVersion: v1, kind: Secret, type: Opaque, metadata: {name: a, namespace: one}}, {apiVersion: v1, kind: Secret, type: Opaque, metadata: {name: a, namespace: two}}, {apiVersion: a.io/v1, kind: Thing, metadata: {name: a, namespace: two}}, {apiVersion: b.io/v1, kind: Thing, metadata: {name: a, namespace: two}}]"},
		"Other":          {"the cluster's own business", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replica: 5}", "[{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replica: 5}}]"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "below/a.yaml", tc.text)
			link := filepath.Join(t.TempDir(), "link")
			require.NoError(t, os.Symlink(dir, link))
			got, err := readManifests(link)
			require.NoError(t, err, tc.reason)
			text, err := yaml.Marshal(got)
			require.NoError(t, err)
			assert.YAMLEq(t, tc.want, string(text), tc.reason)
		})
	}
}

const typed = "{apiVersion: v1, kind: Secret, type: Opaque, metadata: {name: a}"

// TestBackupOfManifestsInAnyForm: the same Secrets, written in another way, are the same backup.
func TestBackupOfManifestsInAnyForm(t *testing.T) {
	installation := dataset.Installation(dataset.Options{Seed: 1})
	forms := map[string]func(map[string]any) map[string]any{
		"data": func(o map[string]any) map[string]any { return o },
		"stringData": func(o map[string]any) map[string]any {
			data, _ := o["data"].(map[string]any)
			texts := map[string]any{}
			for key, value := range data {
				text, err := base64.StdEncoding.DecodeString(value.(string))
				require.NoError(t, err)
				texts[key] = string(text)
			}
			delete(o, "data")
			delete(o, "type")
			o["stringData"] = texts
			return o
		},
		"list": func(o map[string]any) map[string]any {
			return map[string]any{"apiVersion": "v1", "kind": "List", "items": []any{o}}
		},
	}
	stored := map[string]map[string]string{}
	for form, write := range forms {
		dir := t.TempDir()
		for i, object := range installation {
			copied := deepCopy(t, object.Object)
			if copied["kind"] == threescale.KindSecret && copied["type"] == "Opaque" {
				copied = write(copied)
			}
			text, err := yaml.Marshal(copied)
			require.NoError(t, err)
			put(t, dir, filepath.Join("objects", string(rune('a'+i/26))+string(rune('a'+i%26))+".yaml"), string(text))
		}
		done := execute(t, "backup", "--volume", filepath.Join(dir, "volume"), "--objects", filepath.Join(dir, "objects"), "--skip-file-storage")
		require.Equal(t, 0, done.code, done.stderr)
		stored[form] = map[string]string{}
		files, err := filepath.Glob(filepath.Join(dir, "volume/latest/secrets/*.json"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			stored[form][filepath.Base(file)] = string(text)
		}
	}
	assert.Contains(t, stored["data"]["system-seed.json"], `"MASTER_PASSWORD"`)
	for form := range forms {
		assert.Equal(t, stored["data"], stored[form], form)
	}
}

func deepCopy(t *testing.T, object map[string]any) (out map[string]any) {
	t.Helper()
	text, err := yaml.Marshal(object)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &out))
	return out
}

// TestBackupRefusesManifests: nothing is written of what is refused.
func TestBackupRefusesManifests(t *testing.T) {
	cases := map[string]struct{ reason, file, text, says string }{
		"Duplicate": {"in the namespace, and without one", "zz.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: system-seed}\nstringData: {a: " + canary + "}", `Secret "system-seed" is there twice, in namespace "3scale" and without one`},
		"Refused":   {"it tells where", "zz.yaml", head + "stringdata: {a: " + canary + "}", `zz.yaml", document 1`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			objects, volume := filepath.Join(dir, "objects"), filepath.Join(dir, "volume")
			require.NoError(t, dataset.WriteManifests(objects, dataset.Installation(dataset.Options{Seed: 1})))
			put(t, objects, tc.file, tc.text)
			done := execute(t, "backup", "--volume", volume, "--objects", objects, "--skip-file-storage")
			assert.Equal(t, 64, done.code, tc.reason)
			assert.Contains(t, done.stderr, tc.says)
			assert.NotContains(t, done.stderr, canary)
			assert.Len(t, entries(t, volume), 1, "nothing was written but the folder")
		})
	}
}
