package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	versionAnnotation         = "apps.3scale.net/apimanager-threescale-version"
	operatorVersionAnnotation = "apps.3scale.net/threescale-operator-version"
)

// reconcileAPIManager is one look at the whole: defaults and annotations, then
// the objects, and the status in any case.
func (s *Operator) reconcileAPIManager(ctx context.Context, apiManager *unstructured.Unstructured) error {
	if from := apiManager.GetAnnotations()[versionAnnotation]; hops(from, s.options.Version) {
		return s.refuse(ctx, apiManager, from)
	}
	if err := s.setDefaults(ctx, apiManager); err != nil {
		return err
	}
	if err := s.reconcileObjects(ctx, apiManager); err != nil {
		// As in reconcileAPIManagerStatus, an error does not keep the status back.
		return withStatus(err, s.setStatus(ctx, apiManager, err.Error()))
	}
	missing, err := s.missing(ctx, apiManager)
	if err != nil {
		return err
	}
	var lacks string
	if len(missing) > 0 {
		lacks = "waiting for: " + strings.Join(missing, ", ")
	}
	if err := s.setStatus(ctx, apiManager, lacks); err != nil {
		return err
	}
	if len(missing) > 0 || s.options.Sidekiq == nil {
		return nil
	}
	return s.createSidekiq(ctx, apiManager)
}

func withStatus(err, status error) error {
	if status != nil {
		return fmt.Errorf("%w; and %w", err, status)
	}
	return err
}

// setDefaults writes what SetDefaults writes: the annotations, always with the
// operator's own version, and the fields of the specification that are unset.
func (s *Operator) setDefaults(ctx context.Context, apiManager *unstructured.Unstructured) error {
	before := apiManager.DeepCopy()
	annotations := apiManager.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[versionAnnotation] = s.options.Version
	annotations[operatorVersionAnnotation] = s.options.OperatorVersion
	apiManager.SetAnnotations(annotations)
	for _, field := range []struct {
		path  []string
		value any
	}{
		{[]string{"spec", "appLabel"}, "3scale-api-management"},
		{[]string{"spec", "tenantName"}, "3scale"},
		{[]string{"spec", "resourceRequirementsEnabled"}, true},
		{[]string{"spec", "apicast", "managementAPI"}, "status"},
		{[]string{"spec", "apicast", "openSSLVerify"}, false},
		{[]string{"spec", "apicast", "responseCodes"}, true},
	} {
		if _, found, err := unstructured.NestedFieldNoCopy(apiManager.Object, field.path...); found || err != nil {
			continue // What is malformed, the CRD has refused.
		}
		if err := unstructured.SetNestedField(apiManager.Object, field.value, field.path...); err != nil {
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

// refuse says in the status why nothing is done.
func (s *Operator) refuse(ctx context.Context, apiManager *unstructured.Unstructured, from string) error {
	message := fmt.Sprintf("Multi minor version hop detected from %s to %s. Reconciliation of this 3scale instance is stopped.", from, s.options.Version)
	return s.patchStatus(ctx, apiManager, func(status map[string]any) {
		setCondition(status, "Preflights", corev1.ConditionFalse, "PreflightsError", message)
	})
}

// setStatus makes the installation available, or says what it lacks. A new one
// is unavailable first: what watches it sees it become available.
func (s *Operator) setStatus(ctx context.Context, apiManager *unstructured.Unstructured, lacks string) error {
	if err := s.patchStatus(ctx, apiManager, func(status map[string]any) {
		if lacks != "" || !hasCondition(status, "Available") {
			setAvailable(status, corev1.ConditionFalse, lacks)
		}
	}); err != nil || lacks != "" {
		return err
	}
	return s.patchStatus(ctx, apiManager, func(status map[string]any) { setAvailable(status, corev1.ConditionTrue, "") })
}

// setAvailable sets the condition and the Deployments that there would be.
func setAvailable(status map[string]any, condition corev1.ConditionStatus, message string) {
	list := "starting"
	if condition == corev1.ConditionTrue {
		list = "ready"
	}
	setCondition(status, "Available", condition, "", message)
	status["deployments"] = map[string]any{list: []any{
		"apicast-production", "apicast-staging", "backend-cron", "backend-listener", "backend-worker", "system-app",
		"system-memcache", "system-searchd", "system-sidekiq", "zync", "zync-que",
	}}
}

// patchStatus writes the status if the change makes a difference.
func (s *Operator) patchStatus(ctx context.Context, apiManager *unstructured.Unstructured, change func(map[string]any)) error {
	before := apiManager.DeepCopy()
	status, _, err := unstructured.NestedMap(apiManager.Object, "status")
	if err != nil {
		return fmt.Errorf("cannot read status of APIManager %q: %w", apiManager.GetName(), err)
	}
	if status == nil {
		status = map[string]any{}
	}
	if status["deployments"] == nil {
		status["deployments"] = map[string]any{} // The CRD requires it.
	}
	change(status)
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
