package controller

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// workloadKinds are the kinds of sidekiq's workload: a Deployment since 3scale 2.15, an OpenShift
// DeploymentConfig before. After an upgrade both may exist for a while.
func workloadKinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{{Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "apps.openshift.io", Version: "v1", Kind: "DeploymentConfig"}}
}

// startResync makes the Job that has Zync make its Routes again.
func (w *work) startResync(ctx context.Context) error {
	template, err := w.sidekiqTemplate(ctx)
	if err != nil {
		return err
	}
	return w.create(ctx, specs.ResyncJob(specs.ResyncInput{
		Step:        w.step(specs.Resyncing),
		Template:    template,
		Container:   threescale.Sidekiq,
		FileStorage: threescale.FileStoragePVCName,
	}))
}

// sidekiqTemplate reads sidekiq's pod template from the workload that the operator made for this
// APIManager. The Job runs with the rights of the restore, and must not run what somebody else created
// under the name.
func (w *work) sidekiqTemplate(ctx context.Context) (corev1.PodTemplateSpec, error) {
	for _, kind := range workloadKinds() {
		found, err := w.live(ctx, kind, threescale.Sidekiq)
		if err != nil {
			return corev1.PodTemplateSpec{}, err
		}
		if found != nil && restore.OwnedBy(found, w.state.APIManager) {
			return templateOf(found)
		}
	}
	return corev1.PodTemplateSpec{}, restore.Failing(v1alpha1.ReasonResyncFailed, "There is no Deployment or DeploymentConfig %q in namespace %q that belongs to the APIManager; see the log of the 3scale operator", threescale.Sidekiq, w.restore.Namespace)
}

// templateOf decodes the pod template of a Deployment or DeploymentConfig.
func templateOf(workload *unstructured.Unstructured) (corev1.PodTemplateSpec, error) {
	var decoded struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(workload.Object, &decoded); err != nil {
		return corev1.PodTemplateSpec{}, fmt.Errorf("cannot read the pod template of %q: %w", threescale.Sidekiq, err)
	}
	return decoded.Spec.Template, nil
}

// right is a right that a restore needs in its namespace.
type right struct{ verb, group, resource string }

// String returns a right as "get deployments.apps".
func (r right) String() string {
	if r.group == "" {
		return r.verb + " " + r.resource
	}
	return r.verb + " " + r.resource + "." + r.group
}

// askRights returns the rights for the last steps that are missing. The last steps come after the
// commit, when it is late to find out.
func (w *work) askRights(ctx context.Context) (missing []string, err error) {
	needed := []right{{"get", threescale.APIManagerGroup, "apimanagers"}}
	if w.restore.ResyncsZyncDomains() {
		resync, err := w.resyncRights()
		if err != nil {
			return nil, err
		}
		needed = append(needed, resync...)
	}
	for _, r := range needed {
		allowed, err := w.may(ctx, r)
		if err != nil {
			return nil, err
		}
		if !allowed {
			missing = append(missing, r.String())
		}
	}
	return missing, nil
}

// resyncRights are the rights to have Zync make its Routes again. A kind that the cluster does not
// serve needs none.
func (w *work) resyncRights() ([]right, error) {
	needed := []right{{"create", "batch", "jobs"}}
	for _, kind := range workloadKinds() {
		mapping, err := w.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
		switch {
		case meta.IsNoMatchError(err):
		case err != nil:
			return nil, fmt.Errorf("cannot look up kind %s: %w", kind.Kind, err)
		default:
			needed = append(needed, right{"get", kind.Group, mapping.Resource.Resource})
		}
	}
	return needed, nil
}

// may asks the API server whether the restore has a right in its namespace.
func (w *work) may(ctx context.Context, r right) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: w.restore.Namespace, Verb: r.verb, Group: r.group, Resource: r.resource},
	}}
	if err := w.tenant.Create(ctx, review); err != nil {
		return false, fmt.Errorf("cannot ask for the right to %s: %w", r, err)
	}
	return review.Status.Allowed, nil
}

// account is the identity that the restore uses in its namespace, in words.
func (w *work) account() string {
	if account := w.accountName(); account != "" {
		return fmt.Sprintf("ServiceAccount %q", account)
	}
	return "the controller"
}
