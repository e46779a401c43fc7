package observe_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/check"
	"threescale.dev/backup/fn/check/observe"
	"threescale.dev/backup/test/apiserver"
)

const (
	crossplanePath = "/apis/apiextensions.crossplane.io/v1/"
	xrdPath        = crossplanePath + "compositeresourcedefinitions/xthreescalebackups.backup.threescale.dev"
)

var restoreKind = v1alpha1.GroupVersion.WithKind(v1alpha1.KindRestore)

func named(name string) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "Any", "metadata": map[string]any{"name": name}}
}

func list(items ...any) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
}

// server holds one object of each sort.
func server() *apiserver.Server {
	return &apiserver.Server{
		GitVersion: "v1.37.2", Kinds: check.Kinds(),
		Schemas: map[schema.GroupVersionKind]map[string]any{
			restoreKind: {"properties": map[string]any{"spec": map[string]any{"type": "object"}}},
			v1alpha1.GroupVersion.WithKind(v1alpha1.KindBackup): {"properties": map[string]any{"other": map[string]any{}}},
		},
		Objects: map[string]map[string]any{
			xrdPath:                                named("xthreescalebackups.backup.threescale.dev"),
			crossplanePath + "compositions":        list(named("a"), named("b")),
			"/apis/pkg.crossplane.io/v1/functions": list(named("f")),
			"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" + check.BackupCRD:     named(check.BackupCRD),
			"/api/v1/namespaces/crossplane-system/serviceaccounts/crossplane":                named("crossplane"),
			"/apis/apps/v1/namespaces/crossplane-system/deployments/crossplane":              named("crossplane"),
			"/apis/apps/v1/namespaces/threescale-backup/deployments/" + check.ControllerName: named(check.ControllerName),
		},
	}
}

func observed(t *testing.T, s *apiserver.Server) check.Observed {
	t.Helper()
	o, err := observe.Installation(t.Context(), &rest.Config{Host: s.Start(t)}, observe.Options{
		Crossplane: check.Account{Namespace: "crossplane-system", Name: "crossplane"},
		Controller: check.Account{Namespace: "threescale-backup", Name: check.ControllerName},
	})
	require.NoError(t, err)
	return o
}

// TestInstallation: all is read from where it is.
func TestInstallation(t *testing.T) {
	s := server()
	var asked []string
	s.Denied = func(user string, of *authorizationv1.ResourceAttributes) bool {
		asked = append(asked, user)
		return of.Resource == "jobs" && of.Verb == "delete" || of.Subresource == "status" && of.Verb == "patch"
	}
	o := observed(t, s)
	assert.Equal(t, "v1.37.2", o.Version)
	for _, kind := range check.Kinds() {
		assert.Equal(t, check.Read[bool]{Value: true}, o.Served[kind], kind)
	}
	require.NoError(t, o.RestoreSchema.Err)
	assert.Contains(t, o.RestoreSchema.Value["properties"], "spec", "not that of another kind")
	assert.Equal(t, []string{"xthreescalebackups.backup.threescale.dev"}, slices.Sorted(maps.Keys(o.XRDs.Value)))
	assert.Equal(t, []string{"a", "b"}, slices.Sorted(maps.Keys(o.Compositions.Value)))
	assert.Equal(t, []string{"f"}, slices.Sorted(maps.Keys(o.Functions.Value)))
	assert.Equal(t, check.BackupCRD, o.BackupCRD.Value.GetName())
	assert.Equal(t, check.Read[bool]{Value: true}, o.Crossplane.Exists)
	assert.Equal(t, check.Read[bool]{}, o.Controller.Exists, "its ServiceAccount is not there")
	assert.Equal(t, "crossplane", o.Crossplane.Deployment.Value.GetName())
	assert.Equal(t, check.ControllerName, o.Controller.Deployment.Value.GetName())
	assert.Equal(t, []check.Right{{Verb: "delete", Group: "batch", Resource: "jobs"}}, o.Crossplane.Missing.Value)
	assert.Equal(t, []check.Right{
		{Verb: "patch", Group: v1alpha1.Group, Resource: "threescalerestores", Subresource: "status"}, {Verb: "delete", Group: "batch", Resource: "jobs"},
	}, o.Controller.Missing.Value)
	assert.Contains(t, asked, "system:serviceaccount:crossplane-system:crossplane")
	assert.Contains(t, asked, "system:serviceaccount:threescale-backup:threescale-backup")
}

// TestLeaderElection: the controller leads in its own namespace, wherever that is;
// all else is asked for in all of them.
func TestLeaderElection(t *testing.T) {
	s := server()
	namespaces := map[string][]string{}
	s.Denied = func(_ string, of *authorizationv1.ResourceAttributes) bool {
		if !slices.Contains(namespaces[of.Namespace], of.Resource) {
			namespaces[of.Namespace] = append(namespaces[of.Namespace], of.Resource)
		}
		return of.Resource == "leases" && of.Verb == "create"
	}
	o, err := observe.Installation(t.Context(), &rest.Config{Host: s.Start(t)}, observe.Options{
		Crossplane: check.Account{Namespace: "crossplane-system", Name: "crossplane"},
		Controller: check.Account{Namespace: "flux-system", Name: check.ControllerName},
	})
	require.NoError(t, err)
	assert.Equal(t, []check.Right{{Verb: "create", Group: "coordination.k8s.io", Resource: "leases", Namespace: "flux-system"}}, o.Controller.Missing.Value)
	assert.Empty(t, o.Crossplane.Missing.Value)
	assert.Equal(t, []string{"", "flux-system"}, slices.Sorted(maps.Keys(namespaces)))
	assert.Equal(t, []string{"leases"}, namespaces["flux-system"])
}

// TestEmptyCluster: what is not there is no error.
func TestEmptyCluster(t *testing.T) {
	o := observed(t, &apiserver.Server{GitVersion: "v1.37.2"})
	for kind, found := range o.Served {
		assert.Equal(t, check.Read[bool]{}, found, kind)
	}
	assert.Empty(t, o.XRDs.Value)
	assert.NoError(t, o.XRDs.Err)
	assert.NoError(t, o.Compositions.Err)
	assert.NoError(t, o.Functions.Err)
	assert.Equal(t, check.Read[*unstructured.Unstructured]{}, o.BackupCRD)
	assert.Equal(t, check.Read[*unstructured.Unstructured]{}, o.Controller.Deployment)
	assert.ErrorContains(t, o.RestoreSchema.Err, "not published yet")
}

// TestForbidden: each thing that may not be read is told by itself, and the others are read.
func TestForbidden(t *testing.T) {
	for name, tc := range map[string]struct {
		reason, path string
		broken       bool
		err          func(check.Observed) error
	}{
		"XRDs":         {reason: "cluster-scoped, for administrators", path: xrdPath, err: func(o check.Observed) error { return o.XRDs.Err }},
		"Compositions": {reason: "a list", path: crossplanePath + "compositions", err: func(o check.Observed) error { return o.Compositions.Err }},
		"Functions":    {reason: "another group", path: "/apis/pkg.crossplane.io/v1/functions", err: func(o check.Observed) error { return o.Functions.Err }},
		"CRD":          {reason: "tells who owns it", path: "/apis/apiextensions.k8s.io/", err: func(o check.Observed) error { return o.BackupCRD.Err }},
		"Account":      {reason: "in Crossplane's namespace", path: "/api/v1/namespaces/crossplane-system/", err: func(o check.Observed) error { return o.Crossplane.Exists.Err }},
		"Deployment":   {reason: "in the controller's", path: "/apis/apps/v1/namespaces/threescale-backup/", err: func(o check.Observed) error { return o.Controller.Deployment.Err }},
		"Rights":       {reason: "few may ask for others' rights", path: "/apis/authorization.k8s.io/", err: func(o check.Observed) error { return o.Crossplane.Missing.Err }},
		"OpenAPI":      {reason: "an administrator may close it", path: "/openapi/", err: func(o check.Observed) error { return o.RestoreSchema.Err }},
		"Discovery": {reason: "an aggregated API that is down", path: "/apis/apps.3scale.net/", broken: true, err: func(o check.Observed) error {
			return o.Served[schema.GroupVersionKind{Group: "apps.3scale.net", Version: "v1alpha1", Kind: "APIManager"}].Err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := server()
			if tc.broken {
				s.Broken = []string{tc.path}
			} else {
				s.Forbidden = []string{tc.path}
			}
			o := observed(t, s)
			assert.ErrorContains(t, tc.err(o), "cannot ", tc.reason)
			assert.Equal(t, !tc.broken, apierrors.IsForbidden(tc.err(o)), "who may not read it can be told so")
			fine := observed(t, server())
			assert.Equal(t, 1, failed(o)-failed(fine), "only that")
		})
	}
}

// failed counts what could not be read; the rights of both accounts are one.
func failed(o check.Observed) int {
	count := 0
	for _, err := range []error{
		o.XRDs.Err, o.Compositions.Err, o.Functions.Err, o.BackupCRD.Err, o.RestoreSchema.Err, o.Crossplane.Missing.Err,
		o.Crossplane.Exists.Err, o.Controller.Exists.Err, o.Crossplane.Deployment.Err, o.Controller.Deployment.Err,
	} {
		if err != nil {
			count++
		}
	}
	for _, found := range o.Served {
		if found.Err != nil {
			count++
		}
	}
	return count
}

// TestNoCluster: where nobody answers, nothing is found.
func TestNoCluster(t *testing.T) {
	for reason, s := range map[string]*apiserver.Server{"Forbidden": {Forbidden: []string{"/"}}, "InternalError": {Broken: []string{"/"}}} {
		host := s.Start(t)
		_, err := observe.Installation(t.Context(), &rest.Config{Host: host}, observe.Options{})
		assert.ErrorContains(t, err, fmt.Sprintf("cannot read the version of the cluster %q (%s): ", host, reason))
	}
	_, err := observe.Startup(&rest.Config{Host: "http://127.0.0.1:1"})
	assert.ErrorContains(t, err, `cannot reach the cluster "http://127.0.0.1:1"`)
}

// TestKindsOfFlux: the kinds are those that the controller's own code is built with.
func TestKindsOfFlux(t *testing.T) {
	assert.Contains(t, check.Watched(), sourcev1.GroupVersion.WithKind(sourcev1.GitRepositoryKind))
	assert.Contains(t, check.Watched(), kustomizev1.GroupVersion.WithKind(kustomizev1.KustomizationKind))
}
