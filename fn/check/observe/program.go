package observe

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"threescale.dev/backup/fn/check"
)

// program reads a Deployment and its ServiceAccount, and asks which rights of the roles
// the account lacks.
func (r reader) program(ctx context.Context, account check.Account, deployment string, roles ...[]byte) check.Program {
	found := r.get(ctx, schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}, account.Namespace, account.Name)
	return check.Program{
		Account:    account,
		Exists:     check.Read[bool]{Value: found.Value != nil, Err: found.Err},
		Deployment: r.get(ctx, schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, account.Namespace, deployment),
		Missing:    r.missing(ctx, account, roles),
	}
}

// missing asks the API server for each right of the roles. A Role is for the
// namespace of the account.
func (r reader) missing(ctx context.Context, account check.Account, roles [][]byte) check.Read[[]check.Right] {
	var missing []check.Right
	for _, role := range roles {
		rights, err := check.Rights(role, account.Namespace)
		if err != nil {
			return check.Read[[]check.Right]{Err: err}
		}
		for _, right := range rights {
			allowed, err := r.allowed(ctx, account, right)
			if err != nil {
				return check.Read[[]check.Right]{Err: fmt.Errorf("cannot ask whether ServiceAccount %q may %s: %w", account, right, err)}
			}
			if !allowed {
				missing = append(missing, right)
			}
		}
	}
	return check.Read[[]check.Right]{Value: missing}
}

func (r reader) allowed(ctx context.Context, account check.Account, right check.Right) (bool, error) {
	review := authorizationv1.SubjectAccessReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SubjectAccessReview"},
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User:   "system:serviceaccount:" + account.Namespace + ":" + account.Name,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + account.Namespace, "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: right.Namespace, Verb: right.Verb, Group: right.Group, Version: "*", Resource: right.Resource, Subresource: right.Subresource,
			},
		},
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&review)
	if err != nil {
		return false, err
	}
	reviews := schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "subjectaccessreviews"}
	answer, err := r.client.Resource(reviews).Create(ctx, &unstructured.Unstructured{Object: fields}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	allowed, _, err := unstructured.NestedBool(answer.Object, "status", "allowed")
	return allowed, err
}
