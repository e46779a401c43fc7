package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	versionAnnotation         = "apps.3scale.net/apimanager-threescale-version"
	operatorVersionAnnotation = "apps.3scale.net/threescale-operator-version"
)

// reconcileAPIManager is one look at the whole (Reconcile): preflights, then
// defaults, the objects, and the status in any case.
func (s *Operator) reconcileAPIManager(ctx context.Context, apiManager *unstructured.Unstructured) error {
	if refusal := s.preflights(apiManager); refusal != "" {
		return s.setStatus(ctx, apiManager, refusal)
	}
	if err := s.setDefaults(ctx, apiManager); err != nil {
		return err
	}
	err := s.reconcileObjects(ctx, apiManager)
	if status := s.setStatus(ctx, apiManager, ""); status != nil && err != nil {
		return fmt.Errorf("%w; and %w", err, status)
	} else if status != nil {
		return status
	}
	return err
}

// preflights is why nothing is done; "" if nothing speaks against it
// (reconcilePreflightsStatus).
func (s *Operator) preflights(apiManager *unstructured.Unstructured) string {
	if hops(apiManager.GetAnnotations()[versionAnnotation], s.options.Version) {
		return "Preflights failed - attempted multi minor version upgrade. Multi minor version hop detected. Reconciliation of this 3scale instance is stopped. Remove the operator and refer to official upgrade path for 3scale Operator"
	}
	if s.options.Preflights != "" {
		return fmt.Sprintf("Preflights failed - %s - re-running preflights in 10 minutes", s.options.Preflights)
	}
	return ""
}

// setDefaults writes what SetDefaults writes: the annotations, always with the
// operator's own version, and the fields that the rest reads.
func (s *Operator) setDefaults(ctx context.Context, apiManager *unstructured.Unstructured) error {
	before := apiManager.DeepCopy()
	annotations := apiManager.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[versionAnnotation] = s.options.Version
	annotations[operatorVersionAnnotation] = s.options.OperatorVersion
	apiManager.SetAnnotations(annotations)
	for field, value := range map[string]string{"appLabel": "3scale-api-management", "tenantName": "3scale"} {
		if _, found, err := unstructured.NestedFieldNoCopy(apiManager.Object, "spec", field); found || err != nil {
			continue // What is malformed, the CRD has refused.
		}
		if err := unstructured.SetNestedField(apiManager.Object, value, "spec", field); err != nil {
			return fmt.Errorf("cannot set default of APIManager %q: %w", apiManager.GetName(), err)
		}
	}
	return s.patch(ctx, before, apiManager)
}

// hops reports whether an upgrade leaves out a minor version, which
// IsMultiMinorHopDetected refuses. What cannot be read is not refused.
func hops(from, to string) bool {
	fromMinor, fromOK := minor(from)
	toMinor, toOK := minor(to)
	return fromOK && toOK && toMinor-fromMinor > 1
}

func minor(version string) (int, bool) {
	parts := strings.Split(version, ".")
	if len(parts) < 2 {
		return 0, false
	}
	number, err := strconv.Atoi(parts[1])
	return number, err == nil
}

// setStatus writes the conditions (calculateStatus): Available is the sum of three
// others, and Preflights is beside them.
func (s *Operator) setStatus(ctx context.Context, apiManager *unstructured.Unstructured, refusal string) error {
	before := apiManager.DeepCopy()
	status, _, err := unstructured.NestedMap(apiManager.Object, "status")
	if err != nil {
		return fmt.Errorf("cannot read status of APIManager %q: %w", apiManager.GetName(), err)
	}
	if status == nil {
		status = map[string]any{}
	}
	deployments, notAvailable, err := s.deploymentStatus(ctx, apiManager)
	if err != nil {
		return err
	}
	notReady, err := s.routesNotReady(ctx, apiManager)
	if err != nil {
		return err
	}
	missing, err := s.missingSecrets(ctx, apiManager)
	if err != nil {
		return err
	}
	status["deployments"] = deployments
	setSum(status, "DeploymentsAvailable", notAvailable, "DeploymentsNotAvailable", "The following deployment(s) are not available: ")
	setSum(status, "RoutesReady", notReady, "RoutesNotReady", "The following route(s) are not yet admitted: ")
	setSum(status, "SecretsAvailable", missing, "MissingWatchedSecrets", "The following secret(s) could not be found: ")
	// Available has the reason of missing Secrets, and of nothing else.
	reason, message := "", ""
	if len(missing) > 0 {
		reason, message = "MissingWatchedSecrets", "The following secret(s) could not be found: "+strings.Join(missing, ", ")
	}
	setCondition(status, "Available", len(notAvailable)+len(notReady)+len(missing) == 0, reason, message)
	// The reason does not change when they fail.
	if refusal == "" {
		setCondition(status, "Preflights", true, "PreflightsPass", "All requirements for the current version are met")
	} else {
		setCondition(status, "Preflights", false, "PreflightsPass", refusal)
	}
	apiManager.Object["status"] = status
	if unchanged(before, apiManager) {
		return nil
	}
	if err := s.client.Status().Patch(ctx, apiManager, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("cannot write status of APIManager %q: %w", apiManager.GetName(), err)
	}
	return nil
}

// secretRefs are the names of the Secrets that the specification refers to and
// that a pod mounts: every field that is called secretRef or ...SecretRef.
func secretRefs(value any) []string {
	names := map[string]bool{}
	collect(value, names)
	return slices.Sorted(maps.Keys(names))
}

func collect(value any, names map[string]bool) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			collect(item, names)
		}
	case map[string]any:
		for key, item := range v {
			reference, ok := item.(map[string]any)
			if name, named := reference["name"].(string); ok && named && strings.HasSuffix(strings.ToLower(key), "secretref") {
				names[name] = true
				continue
			}
			collect(item, names)
		}
	}
}
