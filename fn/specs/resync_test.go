package specs

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// plainResync is made of the pod template that the operator makes for sidekiq
// (component/system.go: SidekiqDeployment), shortened.
func plainResync() ResyncInput {
	step := plainStep(Resyncing).Step
	mounts := []corev1.VolumeMount{{Name: "system-storage", MountPath: "/opt/system/public/system"}, {Name: "system-config", MountPath: "/opt/system-extra-configs"}}
	return ResyncInput{
		Step: step, Container: "system-sidekiq", FileStorage: "system-storage",
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{
				Labels:      map[string]string{"app": "3scale-api-management", "deployment": "system-sidekiq", "threescale_component": "system"},
				Annotations: map[string]string{"prometheus.io/scrape": "true"},
			},
			Spec: corev1.PodSpec{
				InitContainers: []corev1.Container{{Name: "check-svc", Image: "registry.example.com/amp-system:2.16", Command: []string{"bash", "-c", "until curl http://system-master:3000/status; do sleep 1; done"}}},
				Containers: []corev1.Container{{
					Name: "system-sidekiq", Image: "registry.example.com/amp-system:2.16", Args: []string{"rake", "sidekiq:worker", "RAILS_MAX_THREADS=25"},
					Env:           []corev1.EnvVar{{Name: "SECRET_KEY_BASE", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "system-app"}, Key: "SECRET_KEY_BASE"}}}},
					VolumeMounts:  mounts,
					Ports:         []corev1.ContainerPort{{Name: "metrics", ContainerPort: 9394}},
					LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(9394)}}},
				}},
				Volumes: []corev1.Volume{
					{Name: "system-storage", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "system-storage"}}},
					{Name: "system-config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "system"}}}},
				},
				ServiceAccountName: "amp",
				Tolerations:        []corev1.Toleration{{Key: "infra", Operator: corev1.TolerationOpExists}},
			},
		},
	}
}

// TestResyncLeavesTheTemplateAlone: it is decoded once, and read by others.
func TestResyncLeavesTheTemplateAlone(t *testing.T) {
	in := plainResync()
	ResyncJob(in)
	assert.Equal(t, plainResync(), in)
}

func TestResyncContainers(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	cases := map[string]struct {
		reason string
		edit   func(*corev1.PodSpec)
		want   string
	}{
		"Sidecar": {"one that a mesh added never ends", func(p *corev1.PodSpec) {
			p.Containers = append([]corev1.Container{{Name: "proxy"}}, p.Containers...)
			p.InitContainers = append(p.InitContainers, corev1.Container{Name: "agent", RestartPolicy: &always})
		}, "system-sidekiq"},
		"Renamed": {"an operator of later may call it otherwise", func(p *corev1.PodSpec) { p.Containers[0].Name = "sidekiq" }, "sidekiq"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := plainResync()
			tc.edit(&in.Template.Spec)
			pod := ResyncJob(in).Spec.Template.Spec
			require.Len(t, pod.Containers, 1, tc.reason)
			assert.Equal(t, tc.want, pod.Containers[0].Name, tc.reason)
			assert.Equal(t, []string{"bash", "-c", "bundle exec rake zync:resync:domains"}, pod.Containers[0].Args)
			assert.Nil(t, pod.Containers[0].Command, "the image's entrypoint runs it")
			require.Len(t, pod.InitContainers, 1, tc.reason)
		})
	}
	in := plainResync()
	in.Template.Spec = corev1.PodSpec{}
	assert.Empty(t, ResyncJob(in).Spec.Template.Spec.Containers, "the API server says what is wrong with it")
}
