// Package check finds what an installation in a cluster lacks. Where a right or a kind
// is missing, Crossplane does not call the function, so the function cannot report it.
// Findings is pure; package observe reads what it needs from the cluster.
package check

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// State is the outcome of a check.
type State string

// The states.
const (
	OK      State = "OK"
	Warning State = "Warning"
	Failed  State = "Failed"
	// NotChecked: what the check looks at could not be read.
	NotChecked State = "NotChecked"
)

// Finding is the outcome of one check.
type Finding struct {
	Area    string `json:"area"`
	Check   string `json:"check"`
	State   State  `json:"state"`
	Message string `json:"message"`
	// Do says how to fix it.
	Do string `json:"do,omitempty"`
	// Missing are the rights or the fields that are missing.
	Missing []string `json:"missing,omitempty"`
}

// Read is a value that was read, or the error of reading it.
type Read[T any] struct {
	Value T
	Err   error
}

// Account is a ServiceAccount.
type Account struct{ Namespace, Name string }

func (a Account) String() string { return a.Namespace + "/" + a.Name }

// Program is a program in the cluster, with the rights of its own ServiceAccount.
type Program struct {
	Account    Account
	Exists     Read[bool]                       // the account
	Deployment Read[*unstructured.Unstructured] // nil if there is none
	Missing    Read[[]Right]
}

// Observed is all that the checks look at.
type Observed struct {
	// Version of the API server.
	Version string
	// Served says of each of Kinds whether the API server serves it.
	Served     map[schema.GroupVersionKind]Read[bool]
	Crossplane Program
	Controller Program
	// By name:
	XRDs         Read[map[string]*unstructured.Unstructured]
	Compositions Read[map[string]*unstructured.Unstructured]
	Functions    Read[map[string]*unstructured.Unstructured]
	// BackupCRD is the CustomResourceDefinition of ThreeScaleBackup; nil if there is none.
	BackupCRD Read[*unstructured.Unstructured]
	// RestoreSchema is the schema of ThreeScaleRestore that the API server serves.
	RestoreSchema Read[map[string]any]
}

// Findings checks an installation. The findings are in the order in which to fix them.
func Findings(o Observed) []Finding {
	findings := []Finding{Kubernetes(o.Version)}
	findings = append(findings, crossplane(o)...)
	findings = append(findings, kinds(o)...)
	return append(findings, restores(o)...)
}

// Startup returns one error that names all that keeps the controller from starting. It
// looks only at Version, Served and RestoreSchema, which any account may read. What
// could not be checked is returned as unread, and does not stop the controller.
func Startup(o Observed) (unread []Finding, err error) {
	findings := []Finding{Kubernetes(o.Version)}
	for _, kind := range Watched() {
		findings = append(findings, served(o, inRestores, kind, Failed, ""))
	}
	if found := o.Served[restoreKind()]; found.Err == nil && found.Value {
		findings = append(findings, restoreFields(o))
	}
	var remedies []string // each once, in order
	problems := map[string][]string{}
	for _, finding := range findings {
		switch finding.State {
		case Failed:
			if problems[finding.Do] == nil {
				remedies = append(remedies, finding.Do)
			}
			problems[finding.Do] = append(problems[finding.Do], finding.Message)
		case NotChecked:
			unread = append(unread, finding)
		}
	}
	if len(remedies) == 0 {
		return unread, nil
	}
	for i, remedy := range remedies {
		remedies[i] = strings.Join(problems[remedy], ", ") + " (to do: " + remedy + ")"
	}
	return unread, errors.New("cannot start: " + strings.Join(remedies, "; "))
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

// area is a part of the installation; its methods return findings of it.
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

// objects returns the items of a list that are objects.
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

// unmet describes those conditions of an object that are not True; "" if all are.
func unmet(object *unstructured.Unstructured, types ...string) string {
	conditions := v1alpha1.ConditionsOf(object)
	var out []string
	for _, wanted := range types {
		condition := cmp.Or(meta.FindStatusCondition(conditions, wanted), &metav1.Condition{Status: "missing"})
		if condition.Status == metav1.ConditionTrue {
			continue
		}
		why := cmp.Or(condition.Message, condition.Reason)
		if why != "" {
			why = ": " + why
		}
		out = append(out, fmt.Sprintf("condition %s is %s%s", wanted, condition.Status, why))
	}
	return strings.Join(out, "; ")
}
