package overlay

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/recorded"
)

func TestStorageOf(t *testing.T) {
	const gib = 1 << 30
	many := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	cases := map[string]struct {
		reason, apiManager string
		pvc                *recorded.PVC
		bytes              int64
		asked              string
		class              *string
		size               string
		modes              []corev1.PersistentVolumeAccessMode
	}{
		"nothing known":  {"as the operator would", `{}`, nil, 1000, "", nil, "100Mi", many},
		"by APIManager":  {"what it asks for", `{spec: {system: {fileStorage: {persistentVolumeClaim: {storageClassName: nfs, resources: {requests: 5Gi}}}}}}`, nil, gib, "", new("nfs"), "5Gi", many},
		"recorded":       {"it was made by hand, and grown since", `{spec: {system: {fileStorage: {persistentVolumeClaim: {resources: {requests: 5Gi}}}}}}`, &recorded.PVC{StorageClass: new("efs"), Size: "8Gi", AccessModes: []string{"ReadWriteOnce"}}, gib, "", new("efs"), "8Gi", []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}},
		"default class":  {"it was bound by hand to a volume that is not there again", `{spec: {system: {fileStorage: {persistentVolumeClaim: {storageClassName: nfs}}}}}`, &recorded.PVC{Size: "8Gi"}, gib, "", nil, "8Gi", many},
		"asked":          {"another class, for another cluster", `{}`, &recorded.PVC{StorageClass: new("efs"), Size: "8Gi"}, 1000, "fast", new("fast"), "8Gi", many},
		"too small":      {"files take a file system's room too", `{}`, &recorded.PVC{Size: "1Gi"}, gib, "", nil, "1280Mi", many},
		"deprecated S3":  {"the operator ignores it, and makes a volume", `{spec: {system: {fileStorage: {amazonSimpleStorageService: {awsBucket: files}}}}}`, &recorded.PVC{Size: "8Gi"}, 1000, "", nil, "8Gi", many},
		"size malformed": {"a volume holds what anybody wrote", `{}`, &recorded.PVC{Size: "much"}, 1000, "", nil, "100Mi", many},
		"size negative":  {"likewise", `{}`, &recorded.PVC{Size: "-1Gi"}, 1000, "", nil, "100Mi", many},
		"modes unknown":  {"likewise", `{}`, &recorded.PVC{AccessModes: []string{"ReadOnlyMany", "Any"}}, 1000, "", nil, "100Mi", many},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			apiManager := &unstructured.Unstructured{}
			require.NoError(t, yaml.Unmarshal([]byte(c.apiManager), &apiManager.Object))
			got := storageOf(apiManager, FormerStorage{PVC: c.pvc, Bytes: c.bytes}, c.asked)
			require.NotNil(t, got, c.reason)
			assert.Equal(t, c.class, got.StorageClass, c.reason)
			assert.Zero(t, got.Size.Cmp(resource.MustParse(c.size)), "%s: %s", c.reason, got.Size.String())
			assert.Equal(t, c.modes, got.AccessModes, c.reason)
		})
	}
	assert.Nil(t, storageOf(&unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"system": map[string]any{"fileStorage": map[string]any{"simpleStorageService": map[string]any{}}}}}}, FormerStorage{}, ""), "S3 has no claim")
}
