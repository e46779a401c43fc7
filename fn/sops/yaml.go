package sops

import (
	"bytes"
	"errors"
	"fmt"

	sopsapi "github.com/getsops/sops/v3"
	"go.yaml.in/yaml/v3"
)

// SOPS' own reader and writer of YAML (stores/yaml) would do, but for their package's imports: the configuration of SOPS, which brings
// the clients of three object stores into a program that never calls them. What is read here was checked by parseDocument.

// branchOf makes SOPS' form of a mapping. Comments are left out: SOPS might move one into the values, or encrypt it.
func branchOf(mapping *yaml.Node) (sopsapi.TreeBranch, error) {
	branch := make(sopsapi.TreeBranch, 0, len(mapping.Content)/2)
	for i := 0; i < len(mapping.Content); i += 2 {
		value, err := treeValue(mapping.Content[i+1])
		if err != nil {
			return nil, err
		}
		branch = append(branch, sopsapi.TreeItem{Key: mapping.Content[i].Value, Value: value})
	}
	return branch, nil
}

// treeValue makes SOPS' form of any node.
func treeValue(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		return branchOf(n)
	case yaml.SequenceNode:
		var list []any
		for _, item := range n.Content {
			value, err := treeValue(item)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		return list, nil
	case yaml.ScalarNode:
		var value any
		if err := n.Decode(&value); err != nil {
			return nil, yamlError(err)
		}
		return value, nil
	default:
		return nil, fmt.Errorf("it has YAML of an unknown kind (line %d)", n.Line)
	}
}

// defaultIndent is that of SOPS.
const defaultIndent = 4

// emit writes a mapping, indented by so many spaces; 0: as SOPS does.
func emit(branch sopsapi.TreeBranch, indent int) ([]byte, error) {
	if indent == 0 {
		indent = defaultIndent
	}
	node, err := nodeOf(branch)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(indent)
	err = encoder.Encode(node)
	return out.Bytes(), errors.Join(err, encoder.Close())
}

// nodeOf undoes treeValue.
func nodeOf(value any) (*yaml.Node, error) {
	node := &yaml.Node{}
	add := func(values ...any) error {
		for _, each := range values {
			child, err := nodeOf(each)
			if err != nil {
				return err
			}
			node.Content = append(node.Content, child)
		}
		return nil
	}
	switch value := value.(type) {
	case sopsapi.TreeBranch:
		node.Kind = yaml.MappingNode
		for _, item := range value {
			if err := add(item.Key, item.Value); err != nil {
				return nil, err
			}
		}
		return node, nil
	case []any:
		node.Kind = yaml.SequenceNode
		return node, add(value...)
	default:
		return node, node.Encode(value)
	}
}
