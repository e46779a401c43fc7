//go:build e2e && linux

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/operator"
	"threescale.dev/backup/test/porta"
	"threescale.dev/backup/test/threescale"
)

// operatorWait is how long the operator may take for a whole installation, with a
// pod of it and what the garbage collector does.
const operatorWait = 2 * time.Minute

const resync = "bundle exec rake zync:resync:domains"

// An installation is that of a namespace, and what plays around it.
type installation struct {
	*cluster.Cluster
	t         *testing.T
	namespace string
	stage     *threescale.Stage
	database  *porta.Database
}

// newInstallation makes a namespace with the Secrets that are the user's, for all
// databases are outside.
func newInstallation(t *testing.T, c *cluster.Cluster, namespace string) *installation {
	t.Helper()
	ctx := t.Context()
	i := &installation{Cluster: c, t: t, namespace: namespace}
	var err error
	i.stage, err = threescale.Start(ctx, c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, i.stage.Stop()) })
	i.database, err = porta.NewDatabase(ctx, porta.DatabaseOptions{Password: "swordfish"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, i.database.Close()) })
	i.stage.Porta.Use(namespace, i.database)

	create(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	for name, keys := range map[string]map[string]string{
		"system-database": {"URL": "mysql2://root:swordfish@mysql.example.com/system"},
		"system-redis":    {"URL": i.database.URL()},
		"backend-redis":   {"REDIS_STORAGE_URL": "redis://redis.example.com/0", "REDIS_QUEUES_URL": "redis://redis.example.com/1"},
		"zync":            {"DATABASE_URL": "postgresql://zync:swordfish@postgresql.example.com/zync", "ZYNC_DATABASE_PASSWORD": "swordfish"},
	} {
		create(t, c, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, StringData: keys})
	}
	return i
}

// apply makes the APIManager.
func (i *installation) apply() {
	i.t.Helper()
	require.NoError(i.t, i.ApplyYAML(i.t.Context(), fmt.Appendf(nil, `apiVersion: apps.3scale.net/v1alpha1
kind: APIManager
metadata: {name: apps, namespace: %s}
spec:
  wildcardDomain: apps.example.com
  externalComponents: {backend: {redis: true}, system: {database: true, redis: true}, zync: {database: true}}
`, i.namespace)))
}

// testOperator has the operator make an installation, lose it, and find it again.
func testOperator(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	i := newInstallation(t, c, "operator")
	release, err := i.stage.OpenShift.Hold(t.Context(), i.namespace, "system-app")
	require.NoError(t, err)
	admit, err := i.stage.OpenShift.Refuse(t.Context(), i.namespace, "master.apps.example.com")
	require.NoError(t, err)
	process, err := i.stage.Operate(t.Context(), i.namespace, i.database)
	require.NoError(t, err)
	defer func() { require.NoError(t, process.Stop()) }()
	i.apply()
	start := time.Now()
	i.until("all but system-app, and sidekiq which waits for it", func(ctx context.Context) error { return i.deploymentsReady(ctx, 9) })
	require.NoError(t, i.routes(t.Context(), 1), "one is the operator's own")
	require.Empty(t, i.database.Domain(), "nobody has filled the database")
	require.NoError(t, release(t.Context()))
	i.until("all six routes", func(ctx context.Context) error { return i.routes(ctx, 6) })
	t.Logf("a new installation has its routes after %s", time.Since(start).Round(100*time.Millisecond))
	i.notAvailable("a route that is not admitted is waited for")
	require.NoError(t, admit(t.Context()))
	i.until("the APIManager to be available", i.available)
	require.Equal(t, "apps.example.com", i.database.Domain(), "the first installation fills the database")
	i.requireOwners()

	_, err = c.Kubectl(t.Context(), "", "delete", "apimanager", "apps", "-n", i.namespace, "--timeout=1m")
	require.NoError(t, err)
	i.until("the garbage collector", func(ctx context.Context) error {
		out, err := c.Kubectl(ctx, "", "get", "deploymentconfigs,replicationcontrollers,pods,routes,persistentvolumeclaims", "-n", i.namespace, "-o", "name")
		if err == nil && out != "" {
			err = errors.New("there are " + out)
		}
		return err
	})
	pushed := i.database.Pushed()
	i.apply()
	start = time.Now()
	i.until("all Deployments", func(ctx context.Context) error { return i.deploymentsReady(ctx, 11) })
	t.Logf("all Deployments are there again after %s", time.Since(start).Round(100*time.Millisecond))
	i.notAvailable("Zync makes no route by itself")
	require.NoError(t, i.routes(t.Context(), 1))
	require.Equal(t, pushed, i.database.Pushed())

	i.database.Take(porta.Fail)
	require.NoError(t, i.resync("refused"), "porta only logs what Redis refuses")
	require.NoError(t, i.routes(t.Context(), 1))
	i.database.Take(porta.Accept)
	require.NoError(t, i.resync("resync"))
	i.until("the APIManager to be available", i.available)
	require.NoError(t, i.routes(t.Context(), 6))
	require.Equal(t, pushed+1, i.database.Pushed())
}

// testNewerOperator has the stand-in do the same.
func testNewerOperator(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	i := newInstallation(t, c, "newer-operator")
	for name, keys := range map[string]map[string]string{
		"system-app":           {"SECRET_KEY_BASE": "swordfish"},
		"system-seed":          {"TENANT_NAME": "3scale", "MASTER_DOMAIN": "master"},
		"backend-internal-api": {"username": "u", "password": "swordfish"},
	} {
		create(t, c, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: i.namespace, Name: name}, StringData: keys})
	}
	_, err := c.Kubectl(t.Context(), "", "patch", "secret", "zync", "-n", i.namespace, "--type=merge", "-p", `{"stringData":{"ZYNC_AUTHENTICATION_TOKEN":"swordfish"}}`)
	require.NoError(t, err)
	owner := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: i.namespace, Name: "owner"}}
	create(t, c, owner)
	owned := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: i.namespace, Name: "system-environment"}}
	owned.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, corev1.SchemeGroupVersion.WithKind("ConfigMap"))}
	owned.Data = map[string]string{"RAILS_ENV": "production", "THREESCALE_SUPERDOMAIN": "apps.example.com"}
	create(t, c, owned)

	o, err := operator.Start(t.Context(), c.Config(), operator.Options{Namespace: i.namespace, SystemImage: porta.SystemImage, Preflights: "the database is too old"})
	require.NoError(t, err)
	i.apply()
	i.untilCondition("Preflights", "False", "the database is too old")
	require.NoError(t, o.Stop())

	o, err = operator.Start(t.Context(), c.Config(), operator.Options{Namespace: i.namespace, SystemImage: porta.SystemImage})
	require.NoError(t, err)
	defer func() { require.NoError(t, o.Stop()) }()
	const message = `cannot own *v1.ConfigMap "system-environment"`
	i.until("the stand-in to fail", func(context.Context) error {
		if err := o.Err(); err == nil || !strings.Contains(err.Error(), message) {
			return fmt.Errorf("it is %w", err)
		}
		return nil
	})
	i.untilCondition("Preflights", "True", "")
	i.untilCondition("DeploymentsAvailable", "False", "system-sidekiq")
	owned.OwnerReferences = nil
	require.NoError(t, c.Client().Update(t.Context(), owned))
	i.untilCondition("Available", "True", "")
	require.NoError(t, i.routes(t.Context(), 6))
	require.NoError(t, o.Err())
}

func (i *installation) until(what string, condition func(context.Context) error) {
	i.t.Helper()
	require.NoError(i.t, cluster.Eventually(i.t.Context(), operatorWait, what, condition))
}

// routes is nil when there are that many.
func (i *installation) routes(ctx context.Context, count int) error {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("route.openshift.io/v1")
	list.SetKind("RouteList")
	if err := i.Client().List(ctx, list, client.InNamespace(i.namespace)); err != nil {
		return err
	}
	if len(list.Items) != count {
		return fmt.Errorf("there are %d", len(list.Items))
	}
	return nil
}

func (i *installation) apiManager(ctx context.Context) (*unstructured.Unstructured, error) {
	return i.object(ctx, "apps.3scale.net/v1alpha1", "APIManager", "apps")
}

func (i *installation) object(ctx context.Context, apiVersion, kind, name string) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	object.SetAPIVersion(apiVersion)
	object.SetKind(kind)
	return object, i.Client().Get(ctx, types.NamespacedName{Namespace: i.namespace, Name: name}, object)
}

// condition is one of the APIManager's; nil if there is none.
func (i *installation) condition(ctx context.Context, kind string) (map[string]any, error) {
	apiManager, err := i.apiManager(ctx)
	if err != nil {
		return nil, err
	}
	conditions, _, err := unstructured.NestedSlice(apiManager.Object, "status", "conditions")
	for _, entry := range conditions {
		if condition, ok := entry.(map[string]any); ok && condition["type"] == kind {
			return condition, err
		}
	}
	return nil, err
}

func (i *installation) untilCondition(kind, status, message string) {
	i.t.Helper()
	i.until(kind+"="+status, func(ctx context.Context) error {
		condition, err := i.condition(ctx, kind)
		if said, _ := condition["message"].(string); err == nil && (condition["status"] != status || !strings.Contains(said, message)) {
			err = fmt.Errorf("it is %v", condition)
		}
		return err
	})
}

func (i *installation) available(ctx context.Context) error {
	condition, err := i.condition(ctx, "Available")
	if err == nil && condition["status"] != "True" {
		err = fmt.Errorf("it is %v", condition)
	}
	return err
}

func (i *installation) notAvailable(reason string) {
	i.t.Helper()
	condition, err := i.condition(i.t.Context(), "Available")
	require.NoError(i.t, err)
	require.Equal(i.t, "False", condition["status"], reason)
}

// deploymentsReady is nil when the operator says so of that many of eleven.
func (i *installation) deploymentsReady(ctx context.Context, count int) error {
	apiManager, err := i.apiManager(ctx)
	if err != nil {
		return err
	}
	ready, _, err := unstructured.NestedStringSlice(apiManager.Object, "status", "deployments", "ready")
	if err == nil && len(ready) != count {
		err = fmt.Errorf("ready are %q", ready)
	}
	return err
}

// requireOwners looks at what goes with what.
func (i *installation) requireOwners() {
	i.t.Helper()
	ctx := i.t.Context()
	apiManager, err := i.apiManager(ctx)
	require.NoError(i.t, err)
	dc, err := i.object(ctx, "apps.openshift.io/v1", "DeploymentConfig", "zync-que")
	require.NoError(i.t, err)
	require.True(i.t, metav1.IsControlledBy(dc, apiManager))
	routes, err := i.Kubectl(ctx, "", "get", "routes", "-n", i.namespace, "-l", "3scale.net/created-by=zync", "-o", "jsonpath={.items[*].metadata.ownerReferences[*].uid}")
	require.NoError(i.t, err)
	require.Equal(i.t, strings.TrimSpace(strings.Repeat(string(dc.GetUID())+" ", 5)), routes, "routes go with zync-que")
	storage := &corev1.PersistentVolumeClaim{}
	require.NoError(i.t, i.Client().Get(ctx, types.NamespacedName{Namespace: i.namespace, Name: "system-storage"}, storage))
	require.True(i.t, metav1.IsControlledBy(storage, apiManager), "the file storage goes with the APIManager")
}

// resync runs a Job from the pod template of sidekiq; its error is what the pod
// said.
func (i *installation) resync(name string) error {
	i.t.Helper()
	ctx := i.t.Context()
	dc, err := i.object(ctx, "apps.openshift.io/v1", "DeploymentConfig", "system-sidekiq")
	require.NoError(i.t, err)
	raw, _, err := unstructured.NestedMap(dc.Object, "spec", "template", "spec")
	require.NoError(i.t, err)
	spec := corev1.PodSpec{}
	require.NoError(i.t, runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &spec))
	spec.InitContainers, spec.RestartPolicy = nil, corev1.RestartPolicyNever
	spec.Containers[0].Command, spec.Containers[0].Args = []string{"bash", "-c", resync}, nil
	none := int32(0)
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: i.namespace, Name: name},
		Spec:       batchv1.JobSpec{BackoffLimit: &none, Template: corev1.PodTemplateSpec{Spec: spec}},
	}
	create(i.t, i.Cluster, job)
	i.until("Job "+name, func(ctx context.Context) error {
		if err := i.Client().Get(ctx, client.ObjectKeyFromObject(job), job); err != nil {
			return err
		}
		if job.Status.Succeeded+job.Status.Failed == 0 {
			return fmt.Errorf("status is %v", job.Status)
		}
		return nil
	})
	if job.Status.Succeeded == 1 {
		return nil
	}
	out, err := i.Kubectl(ctx, "", "logs", "-n", i.namespace, "job/"+name)
	require.NoError(i.t, err)
	return errors.New(out)
}
