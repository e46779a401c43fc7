package monitoring

import (
	"fmt"
	"slices"
	"strings"
)

// Config is the part of kube-state-metrics' format that ours uses.
type Config struct {
	Kind string `json:"kind"`
	Spec struct {
		Resources []Resource `json:"resources"`
	} `json:"spec"`
}

// Resource is a kind and its metrics.
type Resource struct {
	GroupVersionKind struct {
		Group   string `json:"group"`
		Version string `json:"version"`
		Kind    string `json:"kind"`
	} `json:"groupVersionKind"`
	MetricNamePrefix string              `json:"metricNamePrefix"`
	ErrorLogV        int                 `json:"errorLogV"`
	LabelsFromPath   map[string][]string `json:"labelsFromPath"`
	Metrics          []Metric            `json:"metrics"`
}

// Metric is a metric of a kind.
type Metric struct {
	Name           string              `json:"name"`
	Help           string              `json:"help"`
	LabelsFromPath map[string][]string `json:"labelsFromPath,omitempty"`
	Each           Each                `json:"each"`
}

// Each says where a metric's values come from: one of Gauge, Info and StateSet.
type Each struct {
	Type     string  `json:"type"`
	Gauge    *Values `json:"gauge,omitempty"`
	Info     *Values `json:"info,omitempty"`
	StateSet *Values `json:"stateSet,omitempty"`
}

// Values are at a path of the object.
type Values struct {
	Path           []string            `json:"path,omitempty"`
	LabelsFromPath map[string][]string `json:"labelsFromPath,omitempty"`
	ValueFrom      []string            `json:"valueFrom,omitempty"`
	NilIsZero      bool                `json:"nilIsZero,omitempty"`
	LabelName      string              `json:"labelName,omitempty"`
	List           []string            `json:"list,omitempty"`
}

// Values returns the one that is set, or nil.
func (e Each) Values() *Values {
	return map[string]*Values{"Gauge": e.Gauge, "Info": e.Info, "StateSet": e.StateSet}[e.Type]
}

// MetricsTable returns the page's table of the metrics, in the order of the file.
func (c Config) MetricsTable() string {
	var out strings.Builder
	out.WriteString("| metric | what it tells |\n|---|---|\n")
	for _, resource := range c.Spec.Resources {
		for _, metric := range resource.Metrics {
			fmt.Fprintf(&out, "| `%s_%s` | %s |\n", resource.MetricNamePrefix, metric.Name, metric.Help)
		}
	}
	return out.String()
}

// MetricNames are the full names of all metrics, sorted.
func (c Config) MetricNames() []string {
	var names []string
	for _, resource := range c.Spec.Resources {
		for _, metric := range resource.Metrics {
			names = append(names, resource.MetricNamePrefix+"_"+metric.Name)
		}
	}
	slices.Sort(names)
	return names
}
