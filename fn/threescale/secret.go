package threescale

import (
	"encoding/base64"
	"maps"
)

// SecretMeta returns a Secret as CleanForBackup does, but without its values:
// fit to be kept where no value may be. It keeps the type and immutable.
func SecretMeta(secret map[string]any) map[string]any {
	meta := maps.Clone(secret)
	delete(meta, "data") // most of it, which is never copied
	delete(meta, "stringData")
	return clean(deepCopy(meta))
}

// SecretManifest returns the Secret that has the metadata of meta and the
// values of data, which it writes as base64. It is the inverse of SecretMeta:
// what meta holds besides values is kept, values in it are dropped, and a meta
// without apiVersion and kind is one of a v1 Secret. A Secret without values
// has no field data, as the API server writes it.
func SecretManifest(meta map[string]any, data map[string][]byte) map[string]any {
	secret := deepCopy(meta)
	delete(secret, "stringData")
	delete(secret, "data")
	for field, value := range map[string]string{"apiVersion": "v1", "kind": KindSecret} {
		if _, set := secret[field]; !set {
			secret[field] = value
		}
	}
	if len(data) == 0 {
		return secret
	}
	encoded := make(map[string]any, len(data))
	for key, value := range data {
		encoded[key] = base64.StdEncoding.EncodeToString(value)
	}
	secret["data"] = encoded
	return secret
}
