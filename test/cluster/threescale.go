//go:build linux

package cluster

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/test/peers"
)

const (
	threeScaleOperator = "threescale-operator"
	// operatorAccount is named as in the operator's config/rbac.
	operatorAccount = "3scale-operator"
)

//go:embed testdata/threescale.yaml
var threeScaleKinds []byte

// InstallThreeScale applies the operator's own CRDs, and those of OpenShift that
// it cannot do without. It returns when all are served.
func (c *Cluster) InstallThreeScale(ctx context.Context) error {
	dir, err := peers.ModuleDir(ctx, threeScaleOperator)
	if err != nil {
		return err
	}
	bases := filepath.Join(dir, "config", "crd", "bases")
	if err := c.Apply(ctx, bases); err != nil {
		return err
	}
	if err := c.ApplyYAML(ctx, threeScaleKinds); err != nil {
		return err
	}
	wait := []string{"wait", "--for=condition=Established", "--timeout=" + readyTimeout.String(), "-f"}
	if _, err := c.kubectl(ctx, "", nil, append(wait, bases)...); err != nil {
		return err
	}
	_, err = c.kubectl(ctx, "", threeScaleKinds, append(wait, "-")...)
	return err
}

// OCImage is the name of the image of LoadOCImage.
const OCImage = "docker.io/local/oc:test"

// LoadOCImage gives the node an image for the Jobs of APIManagerBackup and
// APIManagerRestore, which run scripts with oc, python, rsync and awk
// (pkg/backup/apimanager_backup.go, pkg/restore/apimanager_restore.go). kubectl
// stands for oc, whose commands are the same there. Whoever ships oc's image names
// no user; OpenShift would give it one.
func (c *Cluster) LoadOCImage(ctx context.Context) error {
	return c.LoadDebianImage(ctx, DebianImage{
		Name:     OCImage,
		Packages: []string{"bash", "coreutils", "mawk", "python3", "rsync"},
		Binaries: map[string]string{"/usr/bin/oc": c.binaries["kubectl"]},
		Links:    map[string]string{"/usr/bin/awk": "mawk", "/usr/bin/python": "python3"},
	})
}

// ThreeScaleOperatorOptions describe one process of the operator.
type ThreeScaleOperatorOptions struct {
	// SystemImage is what runs in the pods of system-sidekiq.
	SystemImage string
	// OCImage is what runs in the Jobs of APIManagerBackup and APIManagerRestore.
	OCImage string
}

// StartThreeScaleOperator starts the 3scale operator for one namespace, with the
// rights that it is shipped with. It runs on this machine and not in a pod, so
// that a test can stop it and start it again. It serves nothing: many of it run
// side by side.
func (c *Cluster) StartThreeScaleOperator(ctx context.Context, namespace string, o ThreeScaleOperatorOptions) (*Process, error) {
	binary, err := peers.Binary(ctx, threeScaleOperator)
	if err != nil {
		return nil, err
	}
	if err := c.grantThreeScaleOperator(ctx, namespace); err != nil {
		return nil, err
	}
	token, err := c.token(ctx, namespace, operatorAccount)
	if err != nil {
		return nil, err
	}
	name := operatorAccount + "-" + namespace
	kubeconfig := c.path(name + ".kubeconfig")
	if err := c.writeKubeconfig(kubeconfig, token, namespace); err != nil {
		return nil, err
	}
	return c.StartProcess(ProcessOptions{
		Name: name,
		Path: binary,
		Args: []string{"--metrics-addr=0", "--zap-log-level=debug"},
		Env: []string{
			"KUBECONFIG=" + kubeconfig,
			"WATCH_NAMESPACE=" + namespace,
			"RELATED_IMAGE_SYSTEM=" + o.SystemImage,
			"RELATED_IMAGE_OC_CLI=" + o.OCImage,
			// This version's APIManagerBackup asks for another variable, which newer
			// ones mend (pkg/backup/apimanager_backup_options_provider.go:99).
			"OSE_CLI_IMAGE=" + o.OCImage,
		},
	})
}

// grantThreeScaleOperator makes the operator's account in a namespace, with the
// Role and the ClusterRole of its own config/rbac.
func (c *Cluster) grantThreeScaleOperator(ctx context.Context, namespace string) error {
	roles, err := threeScaleRoles(ctx)
	if err != nil {
		return err
	}
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: operatorAccount}}
	objects := []client.Object{&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: operatorAccount}}}
	for _, role := range roles {
		role.SetName(operatorAccount)
		ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: role.GetKind(), Name: role.GetName()}
		if role.GetKind() == "Role" {
			role.SetNamespace(namespace)
			objects = append(objects, role, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: operatorAccount}, RoleRef: ref, Subjects: subjects})
			continue
		}
		objects = append(objects, role, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: operatorAccount + "-" + namespace}, RoleRef: ref, Subjects: subjects})
	}
	for _, object := range objects {
		if err := c.client.Create(ctx, object); client.IgnoreAlreadyExists(err) != nil {
			return fmt.Errorf("cannot create %T %q: %w", object, object.GetName(), err)
		}
	}
	return nil
}

// threeScaleRoles reads the operator's rights: a Role and a ClusterRole.
func threeScaleRoles(ctx context.Context) ([]*unstructured.Unstructured, error) {
	dir, err := peers.ModuleDir(ctx, threeScaleOperator)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "config", "rbac", "role.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read rights of the 3scale operator: %w", err)
	}
	var roles []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), len(data))
	for {
		role := &unstructured.Unstructured{}
		if err := decoder.Decode(role); errors.Is(err, io.EOF) {
			return roles, nil
		} else if err != nil {
			return nil, fmt.Errorf("cannot read rights %q of the 3scale operator: %w", path, err)
		}
		if role.GetKind() != "" {
			roles = append(roles, role)
		}
	}
}
