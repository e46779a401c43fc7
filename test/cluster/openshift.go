//go:build linux

package cluster

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What OpenShift writes into every namespace, and a label that has our policies
// look at it.
const (
	annUIDRange = "openshift.io/sa.scc.uid-range"
	annGroups   = "openshift.io/sa.scc.supplemental-groups"
	annMCS      = "openshift.io/sa.scc.mcs"
	labelSCC    = "test.backup.threescale.dev/scc"

	rangeSize       = 10000
	securityProbe   = "openshift-probe"
	outsideAnyRange = 65532
)

//go:embed testdata/openshift.yaml
var openShiftPolicies []byte

// AsOpenShift gives a namespace what OpenShift would, with a range of users and
// groups that begins with first.
func AsOpenShift(namespace *corev1.Namespace, first int64) {
	if namespace.Labels == nil {
		namespace.Labels = map[string]string{}
	}
	if namespace.Annotations == nil {
		namespace.Annotations = map[string]string{}
	}
	namespace.Labels[labelSCC] = "restricted-v2"
	namespace.Annotations[annUIDRange] = fmt.Sprintf("%d/%d", first, rangeSize)
	namespace.Annotations[annGroups] = namespace.Annotations[annUIDRange]
	namespace.Annotations[annMCS] = "s0:c26,c25"
}

// PlayOpenShift has the API server treat the pods of such namespaces as
// OpenShift does that knows no security context constraints but restricted-v2.
// It returns when it does.
func (c *Cluster) PlayOpenShift(ctx context.Context) error {
	if err := c.ApplyYAML(ctx, openShiftPolicies); err != nil {
		return err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: securityProbe}}
	AsOpenShift(namespace, 1_000_000_000)
	if err := c.client.Create(ctx, namespace); err != nil {
		return fmt.Errorf("cannot create namespace %q: %w", securityProbe, err)
	}
	err := Eventually(ctx, readyTimeout, "the policies that play OpenShift", c.policiesBite)
	return errors.Join(err, c.client.Delete(ctx, namespace))
}

// policiesBite is nil when a pod that asks for nothing is given a user and one
// that asks for a user is refused.
func (c *Cluster) policiesBite(ctx context.Context) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: securityProbe, Name: securityProbe},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "probe", Image: "probe"}}},
	}
	asking := pod.DeepCopy()
	user := int64(outsideAnyRange)
	asking.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &user}
	if err := c.client.Create(ctx, pod, client.DryRunAll); err != nil {
		return fmt.Errorf("cannot create pod %q: %w", pod.Name, err)
	}
	if sc := pod.Spec.Containers[0].SecurityContext; sc == nil || sc.RunAsUser == nil {
		return errors.New("no user is assigned yet")
	}
	if err := c.client.Create(ctx, asking, client.DryRunAll); !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
		return fmt.Errorf("user %d is not refused yet: %v", user, err) //nolint:errorlint // often there is none
	}
	return nil
}
