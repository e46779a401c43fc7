//go:build linux

package cluster

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// tokenSeconds is how long a token is valid: longer than any test.
const tokenSeconds = 24 * 60 * 60

// A Tenant is a user with the rights of a Role in one namespace.
type Tenant struct {
	// Config is the tenant's configuration of a client.
	Config *rest.Config
	// Kubeconfig is the path of a file that says the same, for kubectl.
	Kubeconfig string
}

// Tenant makes a ServiceAccount with the given rights in its namespace, which
// it makes too if need be. Called again, it replaces the rights.
func (c *Cluster) Tenant(ctx context.Context, namespace, name string, rules []rbacv1.PolicyRule) (*Tenant, error) {
	if err := c.createNamespace(ctx, namespace); err != nil {
		return nil, err
	}
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name}
	role := &rbacv1.Role{ObjectMeta: meta, Rules: rules}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}},
	}
	for _, object := range []client.Object{&corev1.ServiceAccount{ObjectMeta: meta}, role, binding} {
		if err := c.client.Create(ctx, object); client.IgnoreAlreadyExists(err) != nil {
			return nil, fmt.Errorf("cannot create %T %q: %w", object, name, err)
		}
	}
	role.ResourceVersion = "" // Whatever is there is replaced.
	if err := c.client.Update(ctx, role); err != nil {
		return nil, fmt.Errorf("cannot update Role %q: %w", name, err)
	}
	token, err := c.token(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	path := c.path("tenant-" + namespace + "-" + name + ".kubeconfig")
	if err := c.writeKubeconfig(path, token, namespace); err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("cannot read kubeconfig %q: %w", path, err)
	}
	config.QPS, config.Burst = 500, 1000
	return &Tenant{Config: config, Kubeconfig: path}, nil
}

// token requests a token of a ServiceAccount.
func (c *Cluster) token(ctx context.Context, namespace, name string) (string, error) {
	seconds := int64(tokenSeconds)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := c.client.SubResource("token").Create(ctx, account, request); err != nil {
		return "", fmt.Errorf("cannot request token of ServiceAccount %q: %w", namespace+"/"+name, err)
	}
	return request.Status.Token, nil
}

// AccountKubeconfig writes a kubeconfig with a token of a ServiceAccount and
// returns its path: for a program that runs on this machine as it would in a
// pod of that account.
func (c *Cluster) AccountKubeconfig(ctx context.Context, namespace, account string) (string, error) {
	path := c.path(account + ".kubeconfig")
	return path, c.accountKubeconfig(ctx, namespace, account)
}

// accountKubeconfig writes a kubeconfig with a token of a ServiceAccount, by the
// account's name.
func (c *Cluster) accountKubeconfig(ctx context.Context, namespace, account string) error {
	token, err := c.token(ctx, namespace, account)
	if err != nil {
		return err
	}
	return c.writeKubeconfig(c.path(account+".kubeconfig"), token, namespace)
}
