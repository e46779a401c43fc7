package job

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	// MaxHandoverBytes bounds the keys and values of one hand-over Secret. A
	// Secret may have 1 MiB.
	MaxHandoverBytes = 900 << 10
	// MaxHandoverParts bounds the hand-over Secrets of one run.
	MaxHandoverParts = 32
	// MaxObjects bounds the objects of a run that can be restored, so that a report can
	// list them all.
	MaxObjects = 500
)

// HandoverDigest returns the SHA-256 of all that is handed over, in hex. There is one
// for everything, since the content of a single small Secret could be guessed from its
// digest.
func HandoverDigest(parts []map[string][]byte) string {
	sum := sha256.New()
	for i, part := range parts {
		for _, key := range slices.Sorted(maps.Keys(part)) {
			fmt.Fprintf(sum, "%d %s %d\n", i, key, len(part[key]))
			sum.Write(part[key])
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// HandoverEntry says where the hand-over Secrets hold an object of a run.
type HandoverEntry struct {
	Kind string `json:"kind"` // APIManager, ConfigMap or Secret
	Name string `json:"name"`
	// Part is the hand-over Secret that holds the object, counted from 0 in the
	// order of the options.
	Part int `json:"part"`
	// Pieces is how many Secrets, from Part on, hold a piece each of an object that is
	// too large for one Secret; 0 or 1 if the object is whole.
	Pieces int `json:"pieces,omitempty"`
}

// Key returns the key of a hand-over Secret under which an object, or a piece
// of it, lies as JSON: secrets.<name>.json, configmaps.<name>.json or
// apimanager.<name>.json.
func (o HandoverEntry) Key() string {
	const maxKey = 253
	folder := strings.ToLower(o.Kind)
	if o.Kind != "APIManager" {
		folder += "s"
	}
	key := folder + "." + o.Name + ".json"
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return key[:maxKey-sha256.Size*2-1] + "." + hex.EncodeToString(sum[:])
}

// Handed returns the JSON of an object out of the data of the hand-over
// Secrets, given in the order of the options.
func (o HandoverEntry) Handed(parts []map[string][]byte) ([]byte, error) {
	pieces := max(1, o.Pieces)
	if o.Part < 0 || o.Part >= len(parts) || pieces > len(parts)-o.Part {
		return nil, fmt.Errorf("cannot find %s %q in the hand-over: it has %d parts", o.Kind, o.Name, len(parts))
	}
	var whole []byte
	for _, part := range parts[o.Part : o.Part+pieces] {
		piece, ok := part[o.Key()]
		if !ok {
			return nil, fmt.Errorf("cannot find %s %q in the hand-over: key %q is missing", o.Kind, o.Name, o.Key())
		}
		whole = append(whole, piece...)
	}
	return whole, nil
}
