// Package check tells what an installation in a cluster lacks. Crossplane does
// not call the function where a right or a kind is missing, so that the function
// cannot say it. Findings is pure; package observe reads what it is made from.
package check

import (
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// State is what a check came to.
type State string

// The states.
const (
	OK      State = "OK"
	Warning State = "Warning"
	Failed  State = "Failed"
	// NotChecked: what the check is made from could not be read.
	NotChecked State = "NotChecked"
)

// Finding is the outcome of one check.
type Finding struct {
	Area    string `json:"area"`
	Check   string `json:"check"`
	State   State  `json:"state"`
	Message string `json:"message"`
	// Do says how to mend it.
	Do string `json:"do,omitempty"`
	// Missing are the rights or the fields that are missing.
	Missing []string `json:"missing,omitempty"`
}

// Read is what was read, or why it could not be.
type Read[T any] struct {
	Value T
	Err   error
}

// Object is a decoded object; nil when there is none.
type Object = *unstructured.Unstructured

// Account is a ServiceAccount.
type Account struct{ Namespace, Name string }

func (a Account) String() string { return a.Namespace + "/" + a.Name }

// Program is what runs in the cluster with rights of its own.
type Program struct {
	Account    Account
	Exists     Read[bool] // the account
	Deployment Read[Object]
	Missing    Read[[]Right]
}

// Observed is all that findings are made from.
type Observed struct {
	// Version is that of the API server.
	Version string
	// Served tells which of Kinds are served.
	Served     map[schema.GroupVersionKind]Read[bool]
	Crossplane Program
	Controller Program
	// By name:
	XRDs         Read[map[string]Object]
	Compositions Read[map[string]Object]
	Functions    Read[map[string]Object]
	// BackupCRD is the CustomResourceDefinition of ThreeScaleBackup.
	BackupCRD Read[Object]
	// RestoreSchema is that of ThreeScaleRestore as it is served.
	RestoreSchema Read[map[string]any]
}

// Findings checks an installation, in the order in which one mends it.
func Findings(o Observed) []Finding {
	findings := []Finding{Kubernetes(o.Version)}
	findings = append(findings, crossplane(o)...)
	findings = append(findings, kinds(o)...)
	return append(findings, restores(o)...)
}

// Count counts the findings of a state.
func Count(findings []Finding, state State) int {
	count := 0
	for _, finding := range findings {
		if finding.State == state {
			count++
		}
	}
	return count
}

// area makes the findings of one.
type area string

func (a area) ok(check, format string, args ...any) Finding {
	return Finding{Area: string(a), Check: check, State: OK, Message: fmt.Sprintf(format, args...)}
}

func (a area) warn(check, message, do string) Finding {
	return Finding{Area: string(a), Check: check, State: Warning, Message: message, Do: do}
}

func (a area) fail(check, message, do string) Finding {
	return Finding{Area: string(a), Check: check, State: Failed, Message: message, Do: do}
}

func (a area) unread(check string, err error) Finding {
	do := "check again in a moment"
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		do = "check again with an account that may read it"
	}
	return Finding{Area: string(a), Check: check, State: NotChecked, Message: "could not be checked: " + err.Error(), Do: do}
}

func text(object Object, path ...string) string {
	if object == nil {
		return ""
	}
	s, _, _ := unstructured.NestedString(object.Object, path...)
	return s
}

// objects returns the entries of a list that are objects themselves.
func objects(object map[string]any, path ...string) []map[string]any {
	list, _, _ := unstructured.NestedFieldNoCopy(object, path...)
	entries, _ := list.([]any)
	var out []map[string]any
	for _, entry := range entries {
		if child, ok := entry.(map[string]any); ok {
			out = append(out, child)
		}
	}
	return out
}

// unmet describes those conditions of an object that are not True; "" without any.
func unmet(object Object, types ...string) string {
	var out []string
	for _, wanted := range types {
		state, why := "missing", ""
		for _, condition := range objects(object.Object, "status", "conditions") {
			if condition["type"] == wanted {
				state, _ = condition["status"].(string)
				why, _ = condition["message"].(string)
				if reason, _ := condition["reason"].(string); why == "" {
					why = reason
				}
			}
		}
		if state == "True" {
			continue
		}
		if why != "" {
			why = ": " + why
		}
		out = append(out, fmt.Sprintf("condition %s is %s%s", wanted, state, why))
	}
	return strings.Join(out, "; ")
}
