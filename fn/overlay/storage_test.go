package overlay

import (
	"maps"
	"path"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

// withPVCs is a restore of an APIManager whose System has these PVCs.
func withPVCs(t *testing.T, fileStorage, search map[string]any) Input {
	t.Helper()
	in := input()
	spec := find(t, in.Objects, "APIManager", "example").Object["spec"].(map[string]any)
	for field, pvc := range map[string]map[string]any{"fileStorage": fileStorage, "searchdSpec": search} {
		if pvc != nil {
			require.NoError(t, unstructured.SetNestedMap(spec, pvc, "system", field, "persistentVolumeClaim"))
		}
	}
	return in
}

func TestVolumeNames(t *testing.T) {
	type pvc = map[string]any
	const fileStorage, search = "APIManager example spec.system.fileStorage.persistentVolumeClaim.volumeName", "APIManager example spec.system.searchdSpec.persistentVolumeClaim.volumeName"
	cases := map[string]struct {
		reason              string
		fileStorage, search pvc
		class               string
		withoutStorage      bool
		wantFiles, want     pvc
		dropped             []string
	}{
		"Search": {
			reason: "the index is made anew, on any volume", search: pvc{"storageClassName": "fast", "volumeName": "pv-7"},
			want: pvc{"storageClassName": "fast"}, dropped: []string{search},
		},
		"SearchElsewhere": {
			reason: "the former class need not be there", search: pvc{"storageClassName": "fast", "volumeName": "pv-7"}, class: "other",
			want: pvc{"storageClassName": "other"}, dropped: []string{search},
		},
		"SearchWithoutVolume": {reason: "a class moves alone", search: pvc{"storageClassName": "fast"}, class: "other", want: pvc{"storageClassName": "other"}},
		"SearchOfNoClass": {
			reason: "the empty class is that of volumes made by hand, which are not there", search: pvc{"storageClassName": "", "volumeName": "pv-7"}, class: "other",
			want: pvc{"storageClassName": "other"}, dropped: []string{search},
		},
		"SearchOfDefaultClass": {
			reason: "the default class is there everywhere, and the files' need not suit an index", search: pvc{"resources": pvc{"requests": "1Gi"}}, class: "other",
			want: pvc{"resources": pvc{"requests": "1Gi"}},
		},
		"Nothing": {reason: "no PVC is added for the index", class: "other"},
		"FileStorage": {
			reason: "the PVC of the tree binds by itself", fileStorage: pvc{"storageClassName": "files", "volumeName": "pv-1"}, search: pvc{"volumeName": "pv-7"},
			wantFiles: pvc{"storageClassName": "files"}, want: pvc{}, dropped: []string{fileStorage, search},
		},
		"FileStorageNotStored": {
			reason: "the operator makes the PVC, and the name leads to the files", fileStorage: pvc{"volumeName": "pv-1"}, search: pvc{"volumeName": "pv-7"}, withoutStorage: true,
			wantFiles: pvc{"volumeName": "pv-1"}, want: pvc{}, dropped: []string{search},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := withPVCs(t, tc.fileStorage, tc.search)
			in.StorageClass = tc.class
			if tc.withoutStorage {
				in.FileStorage = nil
			}
			tree, err := Build(in)
			require.NoError(t, err, tc.reason)
			assert.ElementsMatch(t, tc.dropped, textsOf(tree.Dropped), tc.reason)
			spec := tree.Objects[Key{"APIManager", "example"}].Object["spec"].(map[string]any)
			search, _, err := unstructured.NestedMap(spec, "system", "searchdSpec", "persistentVolumeClaim")
			require.NoError(t, err)
			assert.Equal(t, tc.want, search, tc.reason)
			if tc.wantFiles != nil {
				files, _, err := unstructured.NestedMap(spec, "system", "fileStorage", "persistentVolumeClaim")
				require.NoError(t, err)
				assert.Equal(t, tc.wantFiles, files, tc.reason)
			}
		})
	}
}

// TestVolumeNameIsNotInTheBase: no patch could take it away from there.
func TestVolumeNameIsNotInTheBase(t *testing.T) {
	tree, err := Build(withPVCs(t, map[string]any{"volumeName": "pv-1"}, map[string]any{"volumeName": "pv-7"}))
	require.NoError(t, err)
	for _, file := range tree.Files {
		assert.NotContains(t, string(file.Data), "pv-", file.Path)
	}
}

// TestSearchIndexBesideS3: the class of an index does not depend on where files are.
func TestSearchIndexBesideS3(t *testing.T) {
	in := withPVCs(t, nil, map[string]any{"storageClassName": "fast"})
	in.Objects = backup(dataset.Options{S3: true})
	in.Admitted, in.FileStorage, in.StorageClass = keys(in.Objects), nil, "other"
	spec := find(t, in.Objects, "APIManager", "example").Object["spec"].(map[string]any)
	require.NoError(t, unstructured.SetNestedField(spec, "fast", "system", "searchdSpec", "persistentVolumeClaim", "storageClassName"))
	tree, err := Build(in)
	require.NoError(t, err)
	system := tree.Objects[Key{"APIManager", "example"}].Object["spec"].(map[string]any)["system"].(map[string]any)
	assert.Equal(t, map[string]any{"persistentVolumeClaim": map[string]any{"storageClassName": "other"}}, system["searchdSpec"])
	assert.NotContains(t, system["fileStorage"], "persistentVolumeClaim")
}

// TestSystemConfig: the ConfigMap is marked for encryption, whatever it holds,
// nothing patches it, and of a domain in it only the place is told.
func TestSystemConfig(t *testing.T) {
	in := input()
	in.WildcardDomain = "apps.other.example.org"
	data := find(t, in.Objects, "ConfigMap", "system").Object["data"].(map[string]any)
	data["service_discovery.yml"] = "production:\n  server_host: api.apps.example.com\n  client_secret: " + dataset.SecretMarker + "x\n"
	want := maps.Clone(data)
	tree, err := Build(in)
	require.NoError(t, err)
	assert.Equal(t, want, tree.Objects[Key{"ConfigMap", "system"}].Object["data"])
	assert.Contains(t, textsOf(tree.LeftWithDomain), "ConfigMap system data.service_discovery.yml")
	found := false
	for _, file := range tree.Files {
		if path.Base(file.Path) == "configmap-system.yaml" {
			found = true
			assert.True(t, file.Secret)
		}
		if path.Base(file.Path) == "kustomization.yaml" {
			assert.NotContains(t, string(file.Data), "name: system\n", "what is encrypted cannot be patched")
		}
	}
	assert.True(t, found)
}

// textsOf writes places out.
func textsOf(places []threescale.Place) []string {
	var out []string
	for _, place := range places {
		out = append(out, place.String())
	}
	return out
}
