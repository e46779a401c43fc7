package operator

import (
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const sidekiq = "system-sidekiq"

// deploymentNames are those of an installation (component/deployments_lister.go);
// all databases are outside.
func deploymentNames(apiManager *unstructured.Unstructured) []string {
	names := []string{
		"apicast-staging", "apicast-production", "backend-listener", "backend-worker", "backend-cron",
		"system-memcache", "system-app", sidekiq, "system-searchd",
	}
	if zyncEnabled(apiManager) {
		names = append(names, "zync", "zync-que")
	}
	return names
}

// zyncEnabled is true unless the specification says otherwise (IsZyncEnabled).
func zyncEnabled(apiManager *unstructured.Unstructured) bool {
	enabled, found, _ := unstructured.NestedBool(apiManager.Object, "spec", "zync", "enabled")
	return enabled || !found
}

// deployment is one of them. Only sidekiq has pods.
func (s *Operator) deployment(name string) *appsv1.Deployment {
	var replicas int32
	labels := map[string]string{"deployment": name}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: maps.Clone(labels)},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: name, Image: s.options.SystemImage}}},
	}
	meta := s.meta(name, "system", "")
	if name == sidekiq {
		replicas = 1
		meta = s.meta(name, "system", "sidekiq")
		template.Labels = merged(meta.Labels, labels)
		template.Spec = s.sidekiqPod()
	}
	return &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas,
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: template,
	}}
}

func merged(base, more map[string]string) map[string]string {
	out := maps.Clone(base)
	maps.Copy(out, more)
	return out
}

// sidekiqPod is the pod of sidekiq as far as a restore has to do with it
// (component/system.go, SidekiqDeployment): its commands, the environment that
// System boots with, its volumes and its probe.
func (s *Operator) sidekiqPod() corev1.PodSpec {
	const wait = `bundle exec sh -c "until rake boot:redis && curl --output /dev/null --silent --fail --head http://system-master:3000/status; do sleep $SLEEP_SECONDS; done"`
	probe := &corev1.Probe{
		ProbeHandler:        corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(9394)}},
		InitialDelaySeconds: 30, PeriodSeconds: 30, TimeoutSeconds: 30, FailureThreshold: 40,
	}
	return corev1.PodSpec{
		ServiceAccountName: "amp",
		Volumes: []corev1.Volume{
			{Name: "system-tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}},
			{Name: fileStorage, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: fileStorage}}},
			{Name: "system-config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "system"}}}},
		},
		InitContainers: []corev1.Container{{
			Name: "check-svc", Image: s.options.SystemImage, Command: []string{"bash", "-c", wait},
			Env: append(fromSecret("system-redis", map[string]string{"REDIS_URL": "URL"}), corev1.EnvVar{Name: "SLEEP_SECONDS", Value: "1"}),
		}},
		Containers: []corev1.Container{{
			Name: sidekiq, Image: s.options.SystemImage, ImagePullPolicy: corev1.PullIfNotPresent,
			Args:          []string{"rake", "sidekiq:worker", "RAILS_MAX_THREADS=25"},
			Env:           systemEnvironment(),
			LivenessProbe: probe,
			Ports:         []corev1.ContainerPort{{Name: "metrics", ContainerPort: 9394}},
			VolumeMounts: []corev1.VolumeMount{
				{Name: fileStorage, MountPath: "/opt/system/public/system"},
				{Name: "system-tmp", MountPath: "/tmp"},
				{Name: "system-config", MountPath: "/opt/system-extra-configs"},
			},
		}},
	}
}

// systemEnvironment is what porta does not boot without (buildSystemBaseEnv).
func systemEnvironment() []corev1.EnvVar {
	var env []corev1.EnvVar
	for _, key := range []string{"RAILS_ENV", "THREESCALE_SUPERDOMAIN"} {
		env = append(env, corev1.EnvVar{Name: key, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: "system-environment"}, Key: key,
		}}})
	}
	for _, secret := range []struct {
		name string
		keys map[string]string
	}{
		{"system-database", map[string]string{"DATABASE_URL": "URL"}},
		{"system-redis", map[string]string{"REDIS_URL": "URL"}},
		{"backend-redis", map[string]string{"BACKEND_REDIS_URL": "REDIS_STORAGE_URL"}},
		{"system-app", map[string]string{"SECRET_KEY_BASE": "SECRET_KEY_BASE"}},
		{"zync", map[string]string{"ZYNC_AUTHENTICATION_TOKEN": "ZYNC_AUTHENTICATION_TOKEN"}},
		{"backend-internal-api", map[string]string{"CONFIG_INTERNAL_API_USER": "username"}},
		{"backend-internal-api", map[string]string{"CONFIG_INTERNAL_API_PASSWORD": "password"}},
	} {
		env = append(env, fromSecret(secret.name, secret.keys)...)
	}
	return env
}

// fromSecret are variables, each with the key of a Secret.
func fromSecret(name string, keys map[string]string) []corev1.EnvVar {
	env := make([]corev1.EnvVar, 0, len(keys))
	for variable, key := range keys {
		env = append(env, corev1.EnvVar{Name: variable, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key,
		}}})
	}
	return env
}
