package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
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
		FileStorage: threescale.FileStorageClaimName,
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
func templateOf(workload restore.Object) (corev1.PodTemplateSpec, error) {
	var decoded struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(workload, &decoded); err != nil {
		return corev1.PodTemplateSpec{}, fmt.Errorf("cannot read the pod template of %q: %w", threescale.Sidekiq, err)
	}
	return decoded.Spec.Template, nil
}
