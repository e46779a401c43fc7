//go:build e2e && linux

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/gitserver"
	"threescale.dev/backup/test/operator"
)

const apiManager = `apiVersion: apps.3scale.net/v1alpha1
kind: APIManager
metadata: {name: apps}
spec:
  wildcardDomain: apps.example.com
  apicast: {managementAPI: debug, openSSLVerify: true}
`

// testOperator has Flux apply an APIManager before the databases' Secrets exist.
func testOperator(t *testing.T, c *cluster.Cluster, server *gitserver.Server) {
	t.Helper()
	d := newDelivery(t, c, server, "operator")
	o, err := operator.Start(t.Context(), c.Config(), operator.Options{Namespace: d.namespace, Sidekiq: &corev1.PodSpec{
		Containers: []corev1.Container{{Name: "system-sidekiq", Image: probeImage}},
	}})
	require.NoError(t, err)
	defer func() { require.NoError(t, o.Stop()) }()
	create(t, c, &corev1.Secret{ObjectMeta: d.named("system-seed"), StringData: map[string]string{"ADMIN_USER": "mine"}})
	create(t, c, &corev1.ConfigMap{ObjectMeta: d.named("apicast-environment"), Data: map[string]string{"OPENSSL_VERIFY": "false", "MORE": "mine"}})

	hash := d.push(t, map[string]string{"apimanager.yaml": apiManager})
	d.gitRepository(t, d.repository.HTTP(), server.BasicAuth())
	d.kustomization(t, map[string]any{"wait": true, "healthCheckExprs": []any{map[string]any{
		"apiVersion": "apps.3scale.net/v1alpha1", "kind": "APIManager",
		"current": "status.conditions.exists(c, c.type=='Available' && c.status=='True')",
	}}})
	d.awaitAvailable(t, "False", "waiting for: Secret backend-redis, Secret system-database, Secret system-redis, key DATABASE_URL of Secret zync")
	d.awaitReady(t, "Unknown", "Reconciliation in progress")

	for name, keys := range map[string][]string{"backend-redis": {"REDIS_STORAGE_URL", "REDIS_QUEUES_URL"}, "system-database": {"URL"}, "system-redis": {"URL"}} {
		secret := &corev1.Secret{ObjectMeta: d.named(name), StringData: map[string]string{}}
		for _, key := range keys {
			secret.StringData[key] = "redis://example.com"
		}
		create(t, c, secret)
	}
	_, err = c.Kubectl(t.Context(), "", "patch", "secret", "zync", "-n", d.namespace, "--type=merge", "-p", `{"stringData":{"DATABASE_URL":"postgresql://example.com"}}`)
	require.NoError(t, err)
	d.awaitAvailable(t, "True", "")
	d.awaitApplied(t, hash)
	require.NoError(t, o.Err())
	d.requireOperated(t)
}

// requireOperated looks at what the operator would have done to the objects.
func (d delivery) requireOperated(t *testing.T) {
	t.Helper()
	manager := d.object("apps.3scale.net/v1alpha1", "APIManager", nil)
	require.NoError(t, d.Client().Get(t.Context(), client.ObjectKeyFromObject(manager), manager))
	require.Equal(t, "2.16.0", manager.GetAnnotations()["apps.3scale.net/apimanager-threescale-version"])
	tenant, _, err := unstructured.NestedString(manager.Object, "spec", "tenantName")
	require.NoError(t, err)
	require.Equal(t, "3scale", tenant)

	seed := &corev1.Secret{}
	require.NoError(t, d.Client().Get(t.Context(), client.ObjectKey{Namespace: d.namespace, Name: "system-seed"}, seed))
	require.Equal(t, "mine", string(seed.Data["ADMIN_USER"]), "a key that is there should stay")
	require.NotEmpty(t, seed.Data["ADMIN_PASSWORD"], "a missing key should be added")
	require.Empty(t, seed.OwnerReferences)

	environment := &corev1.ConfigMap{}
	require.NoError(t, d.Client().Get(t.Context(), client.ObjectKey{Namespace: d.namespace, Name: "apicast-environment"}, environment))
	require.Equal(t, map[string]string{
		"APICAST_MANAGEMENT_API": "debug", "APICAST_RESPONSE_CODES": "true", "OPENSSL_VERIFY": "true", "MORE": "mine",
	}, environment.Data)
	require.True(t, metav1.IsControlledBy(environment, manager))
	storage := &corev1.PersistentVolumeClaim{}
	require.NoError(t, d.Client().Get(t.Context(), client.ObjectKey{Namespace: d.namespace, Name: "system-storage"}, storage))
	require.True(t, metav1.IsControlledBy(storage, manager))

	err = cluster.Eventually(t.Context(), wait, "the sidekiq pod", func(ctx context.Context) error {
		var pods corev1.PodList
		if err := d.Client().List(ctx, &pods, client.InNamespace(d.namespace), client.MatchingLabels{"deployment": "system-sidekiq"}); err != nil {
			return err
		}
		if len(pods.Items) != 1 {
			return fmt.Errorf("there are %d", len(pods.Items))
		}
		return nil
	})
	require.NoError(t, err)
}

func testOtherOwner(t *testing.T, c *cluster.Cluster, server *gitserver.Server) {
	t.Helper()
	d := newDelivery(t, c, server, "other-owner")
	owner := &corev1.ConfigMap{ObjectMeta: d.named("owner")}
	create(t, c, owner)
	owned := &corev1.ConfigMap{ObjectMeta: d.named("system-environment")}
	owned.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, corev1.SchemeGroupVersion.WithKind("ConfigMap"))}
	create(t, c, owned)
	o, err := operator.Start(t.Context(), c.Config(), operator.Options{Namespace: d.namespace})
	require.NoError(t, err)
	defer func() { require.NoError(t, o.Stop()) }()

	manager := d.object("apps.3scale.net/v1alpha1", "APIManager", map[string]any{"wildcardDomain": "apps.example.com"})
	create(t, c, manager)
	const message = `cannot own *v1.ConfigMap "system-environment"`
	d.awaitAvailable(t, "False", message)
	require.ErrorContains(t, o.Err(), message)
	owned.OwnerReferences = nil
	require.NoError(t, c.Client().Update(t.Context(), owned))
	d.awaitAvailable(t, "False", "waiting for: ")
}

// awaitAvailable waits until the APIManager says so.
func (d delivery) awaitAvailable(t *testing.T, status, message string) {
	t.Helper()
	err := cluster.Eventually(t.Context(), fluxWait, "the APIManager of "+d.namespace, func(ctx context.Context) error {
		available, err := d.condition(ctx, d.object("apps.3scale.net/v1alpha1", "APIManager", nil), "Available")
		if err != nil {
			return err
		}
		if said, _ := available["message"].(string); available["status"] == status && strings.Contains(said, message) {
			return nil
		}
		return errors.New(fmt.Sprint("it is ", available))
	})
	require.NoError(t, err)
}

func (d delivery) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: d.namespace, Name: name}
}
