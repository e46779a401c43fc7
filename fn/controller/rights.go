package controller

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"threescale.dev/backup/fn/threescale"
)

// right is a right that a restore needs in its namespace.
type right struct{ verb, group, resource string }

// String returns a right as "get deployments.apps".
func (r right) String() string {
	if r.group == "" {
		return r.verb + " " + r.resource
	}
	return r.verb + " " + r.resource + "." + r.group
}

// askRights returns the rights for the last steps that are missing. The last steps come after the
// commit, when it is late to find out.
func (w *work) askRights(ctx context.Context) (missing []string, err error) {
	needed := []right{{"get", threescale.APIManagerGroup, "apimanagers"}}
	if w.restore.ResyncsZyncDomains() {
		resync, err := w.resyncRights()
		if err != nil {
			return nil, err
		}
		needed = append(needed, resync...)
	}
	for _, r := range needed {
		allowed, err := w.may(ctx, r)
		if err != nil {
			return nil, err
		}
		if !allowed {
			missing = append(missing, r.String())
		}
	}
	return missing, nil
}

// resyncRights are the rights to have Zync make its Routes again. A kind that the cluster does not
// serve needs none.
func (w *work) resyncRights() ([]right, error) {
	needed := []right{{"create", "batch", "jobs"}}
	for _, kind := range workloadKinds() {
		mapping, err := w.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
		switch {
		case meta.IsNoMatchError(err):
		case err != nil:
			return nil, fmt.Errorf("cannot look up kind %s: %w", kind.Kind, err)
		default:
			needed = append(needed, right{"get", kind.Group, mapping.Resource.Resource})
		}
	}
	return needed, nil
}

// may asks the API server whether the restore has a right in its namespace.
func (w *work) may(ctx context.Context, r right) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: w.restore.Namespace, Verb: r.verb, Group: r.group, Resource: r.resource},
	}}
	if err := w.tenant.Create(ctx, review); err != nil {
		return false, fmt.Errorf("cannot ask for the right to %s: %w", r, err)
	}
	return review.Status.Allowed, nil
}

// account is the identity that the restore uses in its namespace, in words.
func (w *work) account() string {
	if account := w.accountName(); account != "" {
		return fmt.Sprintf("ServiceAccount %q", account)
	}
	return "the controller"
}
