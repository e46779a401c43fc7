package render

import (
	"encoding/base64"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const goldenHeader = `# What Crossplane renders from this example, with the values of Secrets
# replaced. Written by ` + "`go test ./test/render -update`" + `.
`

// Golden returns the text of a golden file: the objects as YAML, with sorted
// keys, and with every value of a Secret replaced by its size.
func Golden(objects []*unstructured.Unstructured) ([]byte, error) {
	redacted := make([]*unstructured.Unstructured, 0, len(objects))
	for _, object := range objects {
		redacted = append(redacted, redact(object))
	}
	return encodeStream(goldenHeader, redacted)
}

func redact(object *unstructured.Unstructured) *unstructured.Unstructured {
	if object.GetKind() != "Secret" {
		return object
	}
	out := object.DeepCopy()
	for _, field := range []string{"data", "stringData"} {
		values, _ := out.Object[field].(map[string]any)
		for key, value := range values {
			text, _ := value.(string)
			values[key] = fmt.Sprintf("REDACTED %d bytes", size(field, text))
		}
	}
	return out
}

// size is that of the value itself, not of its base64.
func size(field, text string) int {
	if field == "data" {
		if data, err := base64.StdEncoding.DecodeString(text); err == nil {
			return len(data)
		}
	}
	return len(text)
}
