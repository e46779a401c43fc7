package specs

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// ServiceAccount, Role and RoleBinding of a backup outlive its runs. Creating and
// deleting them for each run would use up a fifth of the watch events that
// Crossplane accepts for one composite before it stops listening for half a
// minute.

// Identity is what all pods of a backup run as.
type Identity struct {
	// Backup is the name of the ThreeScaleBackup (the claim's, where there is one).
	Backup string
	// Namespace of all objects.
	Namespace string
}

// ServiceAccount returns the account of a backup's pods.
func ServiceAccount(i Identity) *corev1.ServiceAccount { return serviceAccount(i.meta()) }

// Role allows a backup's pods to read and patch exactly one object: the report
// of that name, of a run or of a verification.
func Role(i Identity, report string) *rbacv1.Role {
	return role(i.meta(), onObjects("configmaps", []string{report}, "get", "patch"))
}

// RoleBinding gives Role to ServiceAccount.
func RoleBinding(i Identity) *rbacv1.RoleBinding { return roleBinding(i.meta()) }

func (i Identity) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:      jobName(i.Backup, "-mover"),
		Namespace: i.Namespace,
		Labels:    map[string]string{v1alpha1.LabelBackup: LabelValue(i.Backup)},
	}
}

func serviceAccount(meta metav1.ObjectMeta) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: meta,
	}
}

func role(meta metav1.ObjectMeta, rules ...rbacv1.PolicyRule) *rbacv1.Role {
	return &rbacv1.Role{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "Role"},
		ObjectMeta: meta,
		Rules:      rules,
	}
}

// onObjects allows verbs on the named objects and no others.
func onObjects(resource string, names []string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{resource}, ResourceNames: names, Verbs: verbs}
}

// roleBinding binds a Role to the ServiceAccount of the same name.
func roleBinding(meta metav1.ObjectMeta) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "RoleBinding"},
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: meta.Name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: meta.Name, Namespace: meta.Namespace}},
	}
}
