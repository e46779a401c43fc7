package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"

	"threescale.dev/backup/fn/threescale"
)

// created is when the installation was made, for all seeds.
const created = "2026-03-02T09:15:04Z"

// digest derives bytes from the seed and a purpose.
func (b builder) digest(purpose string) [sha256.Size]byte {
	return sha256.Sum256([]byte(strconv.FormatInt(b.Seed, 10) + "/" + b.Namespace + "/" + purpose))
}

// bytes derives any number of bytes.
func (b builder) bytes(purpose string, count int) []byte {
	out := make([]byte, count)
	// Read never returns an error (its documentation says so).
	_, _ = rand.NewChaCha8(b.digest(purpose)).Read(out)
	return out
}

// hex derives a number of hexadecimal digits.
func (b builder) hex(purpose string, digits int) string {
	return hex.EncodeToString(b.bytes(purpose, digits/2))
}

// secretValue derives a confidential value.
func (b builder) secretValue(purpose string) string {
	return SecretMarker + b.hex("value/"+purpose, 32)
}

// uid derives the UID of an object, in the form of a random UUID.
func (b builder) uid(kind, name string) string {
	d := b.digest("uid/" + kind + "/" + name)
	d[6], d[8] = d[6]&0x0f|0x40, d[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", d[:4], d[4:6], d[6:8], d[8:10], d[10:16])
}

func (b builder) resourceVersion(kind, name string) string {
	d := b.digest("version/" + kind + "/" + name)
	return strconv.FormatUint(uint64(binary.BigEndian.Uint32(d[:]))%900000+100000, 10)
}

// addServerFields adds what an API server and the operator add to metadata.
func (b builder) addServerFields(object map[string]any) {
	kind, _ := object["kind"].(string)
	metadata := metadataOf(object)
	name, _ := metadata["name"].(string)
	metadata["uid"] = b.uid(kind, name)
	metadata["resourceVersion"] = b.resourceVersion(kind, name)
	metadata["creationTimestamp"] = created
	metadata["managedFields"] = []any{b.managedFields(object)}
	if kind == threescale.KindConfigMap && name != somebodyElses || kind == "PersistentVolumeClaim" {
		metadata["ownerReferences"] = []any{b.owner()}
	}
}

// owner is the reference that the operator sets on all but Secrets
// (operator/base_apimanager_logic_reconciler.go:240-258).
func (b builder) owner() map[string]any {
	return map[string]any{
		"apiVersion":         threescale.APIManagerAPIVersion,
		"kind":               threescale.APIManagerKind,
		"name":               b.Name,
		"uid":                b.uid(threescale.APIManagerKind, b.Name),
		"controller":         true,
		"blockOwnerDeletion": true,
	}
}

// managedFields names the operator as the writer of an object's fields.
func (b builder) managedFields(object map[string]any) map[string]any {
	fields := map[string]any{}
	for _, field := range []string{"data", "spec", "type"} {
		values, _ := object[field].(map[string]any)
		if object[field] == nil {
			continue
		}
		inner := map[string]any{}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			inner["f:"+key] = map[string]any{}
		}
		fields["f:"+field] = inner
	}
	return map[string]any{
		"manager":    "manager",
		"operation":  "Update",
		"apiVersion": object["apiVersion"],
		"time":       created,
		"fieldsType": "FieldsV1",
		"fieldsV1":   fields,
	}
}

// withoutServerFields removes what only a live object has.
func withoutServerFields(object map[string]any) {
	delete(object, "status")
	if object["kind"] == "Namespace" {
		delete(object, "spec")
	}
}

func metadataOf(object map[string]any) map[string]any {
	metadata, _ := object["metadata"].(map[string]any)
	return metadata
}
