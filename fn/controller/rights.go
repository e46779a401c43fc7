package controller

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"threescale.dev/backup/fn/threescale"
)

// right is one that a restore needs in its namespace.
type right struct{ verb, group, resource string }

// String writes a right as "get deployments.apps".
func (r right) String() string {
	if r.group == "" {
		return r.verb + " " + r.resource
	}
	return r.verb + " " + r.resource + "." + r.group
}

// askRights finds out which rights for the last steps are missing, before the
// first pod runs: they are needed after the commit, when it is late to learn of it.
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

// resyncRights are needed to have Zync make the Routes again. What the cluster
// does not serve, nobody has to read.
func (w *work) resyncRights() ([]right, error) {
	needed := []right{{"create", "batch", "jobs"}}
	for _, kind := range workloadKinds() {
		_, err := w.RESTMapper().RESTMapping(schema.GroupKind{Group: kind.group, Kind: kind.kind}, kind.version)
		switch {
		case meta.IsNoMatchError(err):
		case err != nil:
			return nil, fmt.Errorf("cannot look up kind %s: %w", kind.kind, err)
		default:
			needed = append(needed, right{"get", kind.group, kind.resource})
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

// account is who the restore acts as in its namespace.
func (w *work) account() string {
	if account := w.accountName(); account != "" {
		return fmt.Sprintf("ServiceAccount %q", account)
	}
	return "the controller"
}
