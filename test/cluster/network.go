//go:build linux

package cluster

import "threescale.dev/backup/test/cluster/machine"

const (
	// apiAddress is where the API server is, for this machine and for pods.
	apiAddress   = machine.Address
	serviceRange = "10.96.0.0/16"
	// podRange is not the 10.88.0.0/16 of podman, which developers may have.
	podRange = "10.97.0.0/24"
)
