package manifests_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/test/manifests"
)

// On OpenShift, whoever sets an owner reference that blocks the owner's deletion
// needs to update the owner's finalizers, and who changes owner references of an
// object that is there needs to delete that one. Crossplane's RBAC manager gives
// it the former for composites, which block; no other right is in our hands.

// TestNoOwnerIsBlocked: no right on the finalizers of Namespaces is needed, nor
// on those of restores (see package controller), and none is given.
func TestNoOwnerIsBlocked(t *testing.T) {
	owners := record(t).owners
	require.NotEmpty(t, owners, "a volume that is to stay belongs to its Namespace, too")
	for _, owner := range owners {
		assert.Nil(t, owner.BlockOwnerDeletion, owner.Kind)
	}
	for _, file := range []string{manifests.ClusterRoleFile, manifests.ControllerRoleFile, manifests.AccountRoleFile} {
		assert.NotContains(t, string(read(t, file)), "finalizers", file)
	}
}

// TestCrossplaneMayDeleteWhatItAdopts: a claim of the same name takes over the
// volume of the one before.
func TestCrossplaneMayDeleteWhatItAdopts(t *testing.T) {
	rights, err := manifests.ReadRights(clusterRole(t))
	require.NoError(t, err)
	for kind := range record(t).written {
		assert.Contains(t, rights[kind], "delete", kind)
	}
}

// TestDeploymentLeavesItsUserOpen: restricted-v2 assigns one, and refuses what
// does not lie in the namespace's range.
func TestDeploymentLeavesItsUserOpen(t *testing.T) {
	var deployment appsv1.Deployment
	require.NoError(t, yaml.UnmarshalStrict(read(t, "manifests/controller/deployment.yaml"), &deployment))
	pod := deployment.Spec.Template.Spec
	require.NotNil(t, pod.SecurityContext)
	assert.True(t, *pod.SecurityContext.RunAsNonRoot)
	assert.Nil(t, pod.SecurityContext.RunAsUser)
	assert.Nil(t, pod.SecurityContext.RunAsGroup)
	assert.Nil(t, pod.SecurityContext.FSGroup)
	assert.Nil(t, pod.SecurityContext.SELinuxOptions)
	assert.False(t, pod.HostNetwork || pod.HostPID || pod.HostIPC)
	for _, volume := range pod.Volumes {
		assert.NotNil(t, volume.EmptyDir, "volume %s", volume.Name)
	}
	for _, container := range pod.Containers {
		assert.Nil(t, container.SecurityContext.RunAsUser)
		assert.Empty(t, container.SecurityContext.Capabilities.Add)
		assert.True(t, *container.SecurityContext.ReadOnlyRootFilesystem)
	}
}
