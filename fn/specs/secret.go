package specs

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
)

const maxName = 253

// SecretCopyName returns the name of the copy of the Secret called source.
func SecretCopyName(r Run, source string) string { return shorten(r.Name()+"-"+source, maxName) }

// SecretCopy returns an immutable copy of a Secret. None of the source's labels
// are kept: the 3scale operator watches Secrets by label.
func SecretCopy(r Run, s *corev1.Secret) *corev1.Secret {
	labels := r.Labels()
	labels[v1alpha1.LabelSource] = LabelValue(s.Name)
	secret := immutableSecret(r, SecretCopyName(r, s.Name), labels)
	secret.Annotations = map[string]string{
		v1alpha1.AnnotationSourceName:            s.Name,
		v1alpha1.AnnotationSourceResourceVersion: s.ResourceVersion,
	}
	secret.Type = s.Type
	secret.Data = s.Data
	return secret
}

// objectsSecretName returns the name of the Secret that ObjectsSecret builds. Its
// dot keeps it apart from the copy of a Secret that is called objects.
func objectsSecretName(r Run) string { return r.Name() + ".objects" }

// ObjectsSecret returns the immutable Secret that carries everything of a
// snapshot but the Secrets' values: files maps a path of the snapshot
// (package job) to its bytes.
func ObjectsSecret(r Run, files map[string][]byte) *corev1.Secret {
	secret := immutableSecret(r, objectsSecretName(r), r.Labels())
	secret.Type = corev1.SecretTypeOpaque
	secret.Data = make(map[string][]byte, len(files))
	for path, data := range files {
		secret.Data[ObjectKey(path)] = data
	}
	return secret
}

func immutableSecret(r Run, name string, labels map[string]string) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: r.Namespace, Labels: labels},
		Immutable:  new(true),
	}
}

// ObjectKey returns the key under which a Secret holds the file at path. A key has
// no slash. An underscore takes its place, which no path has, since names of
// objects have none.
func ObjectKey(path string) string { return shorten(strings.ReplaceAll(path, "/", "_"), maxName) }

// AttemptOf reads the attempt from an object's labels; 0 without one.
func AttemptOf(labels map[string]string) int {
	n, err := strconv.Atoi(labels[v1alpha1.LabelAttempt])
	if err != nil || n < 0 {
		return 0
	}
	return n
}
