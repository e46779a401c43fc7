package sops

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// lastApplied is where kubectl keeps a copy of all that was applied: of a Secret, its values.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// encryptedValue is what SOPS writes for a text.
var encryptedValue = regexp.MustCompile(`^ENC\[AES256_GCM,data:[A-Za-z0-9+/]+=*,iv:[A-Za-z0-9+/]+=*,tag:[A-Za-z0-9+/]+=*,type:str\]$`)

// valueFields are the fields of a Secret or ConfigMap that hold values, of which none may stay in plaintext. A ConfigMap's binaryData is one
// that the usual rule, ^(data|stringData)$, does not match.
func valueFields() []string { return []string{"data", "stringData", "binaryData"} }

// checkManifest parses the manifest of one Secret or ConfigMap, and fails unless its values can be encrypted. It names keys, never values.
func checkManifest(plaintext []byte) (*yaml.Node, error) {
	root, err := parseDocument(plaintext)
	if err != nil {
		return nil, err
	}
	if value(root, "sops") != nil {
		return nil, errors.New("it is a SOPS document already (it has a top-level key sops): encrypt the plaintext instead")
	}
	kind := value(root, "kind")
	if !isText(value(root, "apiVersion"), "v1") || !isText(kind, "Secret") && !isText(kind, "ConfigMap") {
		return nil, errors.New("it is neither a Secret nor a ConfigMap (of apiVersion v1), and nothing else is encrypted")
	}
	if value(value(value(root, "metadata"), "annotations"), lastApplied) != nil {
		return nil, fmt.Errorf("its annotation %s holds its values, and would be written in plaintext: remove it", lastApplied)
	}
	for _, field := range valueFields() {
		if err := checkValues(field, value(root, field)); err != nil {
			return nil, err
		}
	}
	return root, nil
}

// checkValues fails unless one of the valueFields is a mapping of texts, without comments: SOPS may move those out of it.
func checkValues(field string, n *yaml.Node) error {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("its %s is not a mapping", field)
	}
	for i := 0; i < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if v.Kind != yaml.ScalarNode || v.ShortTag() != "!!str" {
			return fmt.Errorf("its %s.%s is not a text: quote it", field, k.Value)
		}
		for _, commented := range []*yaml.Node{k, v} {
			if commented.HeadComment+commented.LineComment+commented.FootComment != "" {
				return fmt.Errorf("its %s has a comment at %s: remove it", field, k.Value)
			}
		}
	}
	return nil
}

// parseDocument parses a text of exactly one YAML document, a mapping whose keys are texts, without repetitions and aliases.
// What it accepts, SOPS' own reader does too; on aliases that refer to themselves that reader would not return.
func parseDocument(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, next yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty")
	} else if err != nil {
		return nil, yamlError(err)
	}
	if err := decoder.Decode(&next); err == nil {
		return nil, errors.New("it has more than one YAML document: give each a file of its own")
	} else if !errors.Is(err, io.EOF) {
		return nil, yamlError(err)
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("it is not a mapping")
	}
	return document.Content[0], checkNode(document.Content[0])
}

// checkNode fails unless a node and all below it are what parseDocument promises.
func checkNode(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return fmt.Errorf("it has a YAML alias (line %d): write the value out", n.Line)
	}
	if n.Kind == yaml.MappingNode {
		seen := map[string]bool{}
		for i := 0; i < len(n.Content); i += 2 {
			k := n.Content[i]
			if k.Kind != yaml.ScalarNode || k.ShortTag() != "!!str" {
				return fmt.Errorf("it has a key that is not a text (line %d): quote it", k.Line)
			}
			if seen[k.Value] {
				return fmt.Errorf("it has a key twice in one mapping (line %d): remove one", k.Line)
			}
			seen[k.Value] = true
		}
	}
	for _, child := range n.Content {
		if err := checkNode(child); err != nil {
			return err
		}
	}
	return nil
}

// value returns what a mapping has for a key, or nil.
func value(mapping *yaml.Node, key string) *yaml.Node {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// isText reports whether a node is the text.
func isText(n *yaml.Node, text string) bool {
	return n != nil && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && n.Value == text
}

// Encrypted reports whether data is a manifest in which SOPS encrypted every value of data, stringData and binaryData.
// It needs no key, and so cannot tell whether anyone can decrypt it.
func Encrypted(data []byte) bool {
	root, err := parseDocument(data)
	if err != nil {
		return false
	}
	if mac := value(value(root, "sops"), "mac"); mac == nil || !encryptedValue.MatchString(mac.Value) {
		return false
	}
	for _, field := range valueFields() {
		n := value(root, field)
		if n == nil {
			continue
		}
		if n.Kind != yaml.MappingNode {
			return false
		}
		for i := 1; i < len(n.Content); i += 2 {
			if v := n.Content[i]; v.Kind != yaml.ScalarNode || (v.Value != "" && !encryptedValue.MatchString(v.Value)) {
				return false
			}
		}
	}
	return true
}
