package monitoring

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// Names of the ConfigMaps, and of their only keys.
const (
	ConfigName    = "threescale-backup-kube-state-metrics"
	ConfigKey     = "config.yaml"
	DashboardName = "threescale-backup-dashboard"
	DashboardKey  = "threescale-backup.json"
	// RuleName is the PrometheusRule's.
	RuleName = "threescale-backup"
)

// Base is what manifests/monitoring holds.
type Base struct {
	// Objects are all that it applies.
	Objects []*resource.Resource
	// ConfigFile is the file for kube-state-metrics, and Config what it says.
	ConfigFile []byte
	Config     Config
	// RuleFile is what the operator makes of the PrometheusRule: the file that
	// Prometheus and promtool read. Rules is what it says.
	RuleFile []byte
	Rules    []Rule
	// DashboardFile is what Grafana loads, and Dashboard what it says.
	DashboardFile []byte
	Dashboard     Dashboard
	// ClusterRole of kube-state-metrics, as YAML.
	ClusterRole []byte
}

// Load builds the base below the root of the repository.
func Load(root string) (*Base, error) {
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).
		Run(filesys.MakeFsOnDisk(), filepath.Join(root, "manifests", "monitoring"))
	if err != nil {
		return nil, fmt.Errorf("cannot build manifests %q: %w", "monitoring", err)
	}
	base := &Base{Objects: objects.Resources()}
	if err := base.readRules(objects); err != nil {
		return nil, err
	}
	if base.ConfigFile, err = file(objects, ConfigName, ConfigKey); err != nil {
		return nil, err
	}
	if err := yaml.UnmarshalStrict(base.ConfigFile, &base.Config); err != nil {
		return nil, fmt.Errorf("cannot read file %q: %w", ConfigKey, err)
	}
	if base.DashboardFile, err = file(objects, DashboardName, DashboardKey); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(base.DashboardFile, &base.Dashboard); err != nil {
		return nil, fmt.Errorf("cannot read file %q: %w", DashboardKey, err)
	}
	base.ClusterRole, err = find(objects, "ClusterRole", ConfigName)
	return base, err
}

// readRules takes the rules out of the PrometheusRule.
func (b *Base) readRules(objects resmap.ResMap) error {
	var object struct {
		Spec map[string]any `json:"spec"`
	}
	if err := read(objects, "PrometheusRule", RuleName, &object); err != nil {
		return err
	}
	var err error
	if b.RuleFile, err = yaml.Marshal(object.Spec); err != nil {
		return fmt.Errorf("cannot write rules of PrometheusRule %q: %w", RuleName, err)
	}
	var spec struct {
		Groups []struct {
			Name  string `json:"name"`
			Rules []Rule `json:"rules"`
		} `json:"groups"`
	}
	if err := yaml.UnmarshalStrict(b.RuleFile, &spec); err != nil {
		return fmt.Errorf("cannot read rules of PrometheusRule %q: %w", RuleName, err)
	}
	for _, group := range spec.Groups {
		b.Rules = append(b.Rules, group.Rules...)
	}
	return nil
}

// find returns the YAML of an object.
func find(objects resmap.ResMap, kind, name string) ([]byte, error) {
	for _, object := range objects.Resources() {
		if object.GetKind() != kind || object.GetName() != name {
			continue
		}
		data, err := object.AsYAML()
		if err != nil {
			return nil, fmt.Errorf("cannot read %s %q: %w", kind, name, err)
		}
		return data, nil
	}
	return nil, fmt.Errorf("cannot find %s %q in manifests/monitoring", kind, name)
}

// read decodes an object.
func read(objects resmap.ResMap, kind, name string, into any) error {
	data, err := find(objects, kind, name)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		return fmt.Errorf("cannot read %s %q: %w", kind, name, err)
	}
	return nil
}

// file returns the only file of a ConfigMap.
func file(objects resmap.ResMap, name, key string) ([]byte, error) {
	var configMap struct {
		Data map[string]string `json:"data"`
	}
	if err := read(objects, "ConfigMap", name, &configMap); err != nil {
		return nil, err
	}
	text, ok := configMap.Data[key]
	if !ok || len(configMap.Data) != 1 {
		return nil, fmt.Errorf("cannot read ConfigMap %q: key %q is not its only one", name, key)
	}
	return []byte(text), nil
}
