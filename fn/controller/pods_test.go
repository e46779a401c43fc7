package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestOwnersDoNotBlock: OpenShift lets nobody block the deletion of a restore
// who may not update its finalizers, which neither the controller may nor a
// ServiceAccount that a restore names.
func TestOwnersDoNotBlock(t *testing.T) {
	w := &work{restore: someRestore()}
	owners := w.owners()
	assert.Len(t, owners, 1)
	assert.True(t, *owners[0].Controller)
	assert.Nil(t, owners[0].BlockOwnerDeletion)
}
