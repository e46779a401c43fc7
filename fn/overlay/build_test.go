package overlay

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

// TestBuiltObjects: what Flux applies is what was backed up, but for the
// namespace, the orders to Flux and the operator's stamps.
func TestBuiltObjects(t *testing.T) {
	for name, o := range map[string]dataset.Options{
		"Default": {}, "Seed": {Seed: 7, Name: "other", Namespace: "ns"}, "S3": {S3: true},
		"Internal": {InternalDatabases: []threescale.Database{threescale.ZyncDatabase}},
		"Missing":  {MissingSecrets: []string{"system-memcache"}, MissingConfigMaps: []string{"apicast-environment"}},
	} {
		t.Run(name, func(t *testing.T) {
			objects := backup(o)
			tree, err := Build(Input{Name: "dr", Namespace: "target", Objects: objects, Admitted: keys(objects)})
			require.NoError(t, err)
			assert.Len(t, tree.Objects, len(objects))
			assert.Empty(t, tree.Rewritten)
			assert.Empty(t, tree.LeftWithDomain)
			assert.Empty(t, tree.Omitted)
			for _, object := range objects {
				built := tree.Objects[keyOf(object)]
				require.NotNil(t, built, keyOf(object))
				metadata := built.Object["metadata"].(map[string]any)
				assert.Equal(t, "target", metadata["namespace"])
				delete(metadata, "namespace")
				delete(metadata, "annotations") // the data set has none but stamps
				want := maps.Clone(object.Object)
				want["metadata"] = withoutStamps(object.Object["metadata"].(map[string]any))
				assert.Equal(t, want, built.Object)
			}
		})
	}
}

func withoutStamps(metadata map[string]any) map[string]any {
	out := maps.Clone(metadata)
	delete(out, "annotations")
	labels, _ := metadata["labels"].(map[string]any)
	labels = maps.Clone(labels)
	maps.DeleteFunc(labels, func(key string, _ any) bool { return strings.HasPrefix(key, threescale.LabelSecretUIDPrefix) })
	delete(out, "labels")
	if len(labels) > 0 {
		out["labels"] = labels
	}
	return out
}

// TestAnnotations: each object has the orders to Flux, and one has one more.
func TestAnnotations(t *testing.T) {
	tree, err := Build(input())
	require.NoError(t, err)
	require.Contains(t, tree.Objects, Key{"PersistentVolumeClaim", "system-storage"})
	for key, object := range tree.Objects {
		want := map[string]any{"kustomize.toolkit.fluxcd.io/prune": "disabled", "kustomize.toolkit.fluxcd.io/substitute": "disabled"}
		if key.Name == "apicast-environment" {
			want["kustomize.toolkit.fluxcd.io/ssa"] = "IfNotPresent"
		}
		assert.Equal(t, want, object.Object["metadata"].(map[string]any)["annotations"], key)
	}
}

// TestMove: what changes with the place, and nothing else.
func TestMove(t *testing.T) {
	before, err := Build(input())
	require.NoError(t, err)
	in := input()
	in.Namespace, in.WildcardDomain, in.StorageClass = "copy", "apps.other.example.org", "fast"
	find(t, in.Objects, "ConfigMap", "system-environment").Object["data"].(map[string]any)["NOTE"] = "see https://wiki.apps.example.com/"
	tree, err := Build(in)
	require.NoError(t, err)
	assert.Equal(t, []threescale.Place{
		{Kind: "APIManager", Name: "example", Field: "spec.wildcardDomain"},
		{Kind: "ConfigMap", Name: "system-environment", Field: "data.THREESCALE_SUPERDOMAIN"},
		{Kind: "Secret", Name: "backend-listener", Field: "data.route_endpoint"},
	}, tree.Rewritten)
	assert.Equal(t, []threescale.Place{{Kind: "ConfigMap", Name: "system-environment", Field: "data.NOTE"}}, tree.LeftWithDomain)
	var changed []string
	for key, object := range tree.Objects {
		for {
			field, differs := firstDifference(object.Object, before.Objects[key].Object, nil)
			if !differs {
				break
			}
			if field != "metadata.namespace" {
				changed = append(changed, key.String()+" "+field)
			}
			equalise(object.Object, before.Objects[key].Object, strings.Split(field, "."))
		}
	}
	assert.ElementsMatch(t, []string{
		"APIManager/example spec.wildcardDomain",
		"APIManager/example spec.system.fileStorage.persistentVolumeClaim.storageClassName",
		"ConfigMap/system-environment data.THREESCALE_SUPERDOMAIN",
		"ConfigMap/system-environment data.NOTE",
		"Secret/backend-listener data.route_endpoint",
	}, changed, "a PVC that is there cannot be changed: of what it is made, the input says by itself")
	for _, file := range tree.Files {
		if strings.HasPrefix(file.Path, "base/") && !file.Secret && !strings.Contains(file.Path, "system-environment") {
			assert.NotContains(t, string(file.Data), "other.example.org", "%s: the overlay is where a reader looks", file.Path)
		}
	}
}

// equalise copies a field from one object to another.
func equalise(to, from map[string]any, field []string) {
	for _, name := range field[:len(field)-1] {
		to, _ = to[name].(map[string]any)
		from, _ = from[name].(map[string]any)
	}
	last := field[len(field)-1]
	if value, found := from[last]; found {
		to[last] = value
		return
	}
	delete(to, last)
}

func TestOmittedDatabaseSecrets(t *testing.T) {
	in := input()
	in.OmitDatabaseSecrets = true
	tree, err := Build(in)
	require.NoError(t, err)
	three := []Key{{"Secret", "backend-redis"}, {"Secret", "system-database"}, {"Secret", "system-redis"}}
	assert.Equal(t, append(slices.Clone(three), Key{"Secret", "zync"}), tree.Omitted, "it leads to a database outside, whose queue the original works off")
	for _, key := range tree.Omitted {
		_, found := tree.Objects[key]
		assert.False(t, found, key) // the objects are too many to print
	}

	external := find(t, in.Objects, "APIManager", "example").Object["spec"].(map[string]any)["externalComponents"].(map[string]any)
	external["zync"] = map[string]any{"database": false}
	tree, err = Build(in)
	require.NoError(t, err)
	assert.Equal(t, three, tree.Omitted)
	_, found := tree.Objects[Key{"Secret", "zync"}]
	assert.True(t, found, "it leads to a database that goes with the installation, and the operator's restore brings it back too")
}

// TestOmittedBucketSecret: a copy has a bucket of its own; where the files are on a volume, there is none.
func TestOmittedBucketSecret(t *testing.T) {
	in := goldens()["s3"]
	in.OmitBucketSecret = true
	tree, err := Build(in)
	require.NoError(t, err)
	omitted := []Key{{"Secret", "file-storage-s3"}}
	assert.Equal(t, omitted, tree.Omitted)
	_, found := tree.Objects[omitted[0]]
	assert.False(t, found)
	assert.Len(t, tree.Objects, len(in.Objects)-1, "all else is there")

	in = input()
	in.OmitBucketSecret = true
	tree, err = Build(in)
	require.NoError(t, err)
	assert.Empty(t, tree.Omitted)
}

// TestMetadataIsRebuilt: fields that have no place in a manifest do not come through.
func TestMetadataIsRebuilt(t *testing.T) {
	in := input()
	object := secretNamed("x", map[string]any{
		"metadata": map[string]any{
			"name": "x", "namespace": nil, "uid": "1", "resourceVersion": "2", "generateName": "y-", "finalizers": []any{"a/b"}, "selfLink": "/x",
			"ownerReferences": []any{map[string]any{"uid": "1"}}, "managedFields": []any{}, "creationTimestamp": nil, "deletionTimestamp": "2026-01-01T00:00:00Z", "other": "x",
			"labels":      map[string]any{threescale.LabelWatchedBy: "apimanager", "secret.apimanager.apps.3scale.net/0": "true"},
			"annotations": map[string]any{"kustomize.toolkit.fluxcd.io/prune": "enabled", "apps.3scale.net/disable-async": "true"},
		},
		"stringData": map[string]any{"password": "new", "more": "x"}, "immutable": true, "status": map[string]any{}, "sops": map[string]any{"mac": "x"}, "spec": "x",
		"data": map[string]any{"password": "b2xk", "kept": "a2Vw\ndA=="},
	})
	in.Objects, in.Admitted = append(in.Objects, object), append(in.Admitted, Key{"Secret", "x"})
	tree, err := Build(in)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": true,
		"metadata": map[string]any{
			"name": "x", "namespace": "3scale", "labels": map[string]any{threescale.LabelWatchedBy: "apimanager"},
			"annotations": map[string]any{
				"apps.3scale.net/disable-async": "true", "kustomize.toolkit.fluxcd.io/prune": "disabled", "kustomize.toolkit.fluxcd.io/substitute": "disabled",
			},
		},
		"data": map[string]any{"password": "bmV3", "more": "eA==", "kept": "a2VwdA=="},
	}, tree.Objects[Key{"Secret", "x"}].Object)
}

// TestDeterminism: the order of objects and of maps decides nothing, and the
// input stays as it is.
func TestDeterminism(t *testing.T) {
	in := input()
	in.WildcardDomain, in.StorageClass, in.OmitDatabaseSecrets = "apps.other.example.org", "fast", true
	first, err := Build(in)
	require.NoError(t, err)
	before, err := yaml.Marshal(in.Objects)
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		again := in
		again.Objects, again.Admitted = slices.Clone(in.Objects), slices.Clone(in.Admitted)
		random.Shuffle(len(again.Objects), func(i, j int) { again.Objects[i], again.Objects[j] = again.Objects[j], again.Objects[i] })
		random.Shuffle(len(again.Admitted), func(i, j int) { again.Admitted[i], again.Admitted[j] = again.Admitted[j], again.Admitted[i] })
		tree, err := Build(again)
		require.NoError(t, err)
		require.Equal(t, first, tree)
	}
	after, err := yaml.Marshal(in.Objects)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(before, after), "Build must not change its input")
	assert.True(t, slices.IsSortedFunc(first.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) }))
}

// TestSecretFiles: all files with a Secret, that with ConfigMap system, and no
// other, are to be encrypted.
func TestSecretFiles(t *testing.T) {
	tree, err := Build(input())
	require.NoError(t, err)
	secrets := 0
	for _, file := range tree.Files {
		isSecret := bytes.Contains(file.Data, []byte("kind: Secret\n"))
		if path.Base(file.Path) == "configmap-system.yaml" {
			assert.True(t, file.Secret, file.Path)
			continue
		}
		assert.Equal(t, isSecret, file.Secret, file.Path)
		assert.Equal(t, isSecret, strings.HasPrefix(path.Base(file.Path), "secret-"), file.Path)
		if isSecret {
			secrets++
			assert.NotContains(t, string(file.Data), "stringData")
			continue
		}
		for _, form := range dataset.MarkerForms() {
			assert.NotContains(t, string(file.Data), form, file.Path)
		}
	}
	assert.Equal(t, 18, secrets)
}

// TestLongNames: the longest names of objects make file names that every file
// system takes, each another.
func TestLongNames(t *testing.T) {
	in := input()
	for _, name := range []string{strings.Repeat("a", 253), strings.Repeat("a", 252) + "b", strings.Repeat("a", 200), strings.Repeat("a", 201)} {
		in.Objects, in.Admitted = append(in.Objects, secretNamed(name, nil)), append(in.Admitted, Key{"Secret", name})
	}
	tree, err := Build(in)
	require.NoError(t, err)
	for _, file := range tree.Files {
		assert.LessOrEqual(t, len(path.Base(file.Path)), 255)
	}
	assert.Len(t, tree.Objects, len(in.Objects)+1)
	assert.Equal(t, "secret-"+strings.Repeat("a", 200)+".yaml", fileName(Key{"Secret", strings.Repeat("a", 200)}))
}

// TestLargeSecrets: 13 Secrets as large as etcd takes them.
func TestLargeSecrets(t *testing.T) {
	in := input()
	for i := range 13 {
		name := fmt.Sprintf("large-%d", i)
		content := bytes.Repeat([]byte{byte(i), 0xff, 'x'}, 1<<20/3)
		secret := secretNamed(name, map[string]any{"data": map[string]any{"content": base64.StdEncoding.EncodeToString(content)}})
		in.Objects, in.Admitted = append(in.Objects, secret), append(in.Admitted, Key{"Secret", name})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	tree, err := Build(in)
	require.NoError(t, err)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
	t.Logf("13 MiB of Secrets: %s, %d MiB allocated in all", took.Round(time.Millisecond), allocated)
	assert.Len(t, tree.Objects, len(in.Objects)+1)
	assert.Less(t, allocated, uint64(2<<10), "some ten copies, most of them short-lived")
}

// TestConcurrentBuilds: kustomize has global state; run with -race.
func TestConcurrentBuilds(t *testing.T) {
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			_, err := Build(input())
			assert.NoError(t, err)
		})
	}
	group.Wait()
}

// TestEveryCharacter: all that is not refused comes through.
func TestEveryCharacter(t *testing.T) {
	in := input()
	data := find(t, in.Objects, "ConfigMap", "system-environment").Object["data"].(map[string]any)
	var block strings.Builder
	for r := rune(0); r <= 0x10ffff; r++ {
		if isSurrogate := 0xd800 <= r && r <= 0xdfff; !isSurrogate && !isUnsupported(string(r)) && (r <= 0xffff || r%251 == 0) {
			block.WriteRune(r)
		}
		if r%1024 == 1023 {
			data[fmt.Sprintf("from-%06x", r)] = block.String()
			block.Reset()
		}
	}
	_, err := Build(in)
	require.NoError(t, err)
}
