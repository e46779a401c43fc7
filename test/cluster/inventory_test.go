//go:build e2e && linux

package cluster_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/cluster/machine"
)

// An inventory is all of this machine that a cluster changes.
type inventory map[string][]string

// takeInventory lists what is there before a cluster. If somebody else's runs
// just now, it waits for that to end.
func takeInventory(t *testing.T) inventory {
	t.Helper()
	defer holdLock(t)()
	return listMachine(t)
}

// holdLock waits until no cluster runs and nobody cleans up after one, and
// keeps it so until the returned function is called.
func holdLock(t *testing.T) func() {
	t.Helper()
	lock, err := machine.Lock(t.Context(), t.Logf)
	require.NoError(t, err)
	return func() { require.NoError(t, lock.Close()) }
}

func listMachine(t *testing.T) inventory {
	t.Helper()
	links, err := net.Interfaces()
	require.NoError(t, err)
	i := inventory{}
	for _, link := range links {
		addresses, err := link.Addrs()
		require.NoError(t, err)
		i["links"] = append(i["links"], fmt.Sprint(link.Name, addresses))
	}
	i["mounts"] = lines(t, "/proc/self/mountinfo")
	i["processes"] = processes(t)
	for _, pattern := range []string{
		"/sys/fs/cgroup/*", "/sys/fs/cgroup/*/*", "/sys/block/loop*/loop", "/run/*", "/run/threescale-backup/*",
		"/var/run/netns/*", "/var/lib/*", "/var/log/*", "/opt/*", "/etc/cni/*", filepath.Join(os.TempDir(), "threescale-backup-cluster-*"),
	} {
		i[pattern], err = filepath.Glob(pattern)
		require.NoError(t, err)
	}
	for _, setting := range []string{"net/ipv4/ip_forward", "vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops"} {
		i[setting] = lines(t, "/proc/sys/"+setting)
	}
	return i
}

// requireInventory waits until the machine is as before: the kernel takes a
// moment to end network namespaces.
func requireInventory(t *testing.T, before inventory) {
	t.Helper()
	defer holdLock(t)()
	err := cluster.Eventually(context.Background(), wait, "the machine to be as before", func(context.Context) error {
		after := listMachine(t)
		for kind := range before {
			for _, entry := range after[kind] {
				if !slices.Contains(before[kind], entry) {
					return fmt.Errorf("%s: left over: %s", kind, entry)
				}
			}
			if kind == "processes" {
				continue // Others may end while we run.
			}
			for _, entry := range before[kind] {
				if !slices.Contains(after[kind], entry) {
					return fmt.Errorf("%s: gone: %s", kind, entry)
				}
			}
		}
		return nil
	})
	require.NoError(t, err)
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return strings.Split(string(data), "\n")
}

// processes lists those that a cluster is made of, by program and PID; the rest
// of the machine goes on meanwhile.
func processes(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/comm")
	require.NoError(t, err)
	var found []string
	for _, path := range paths {
		name, err := os.ReadFile(path)
		if err != nil {
			continue // It has just ended.
		}
		for _, part := range []string{"etcd", "kube", "containerd", "runc", "crossplane", "nodeinit", "janitor", "pause", "probe", "mount.exfat", "function", "source-contr", "kustomize-contr", "versitygw"} {
			if strings.HasPrefix(string(name), part) {
				found = append(found, strings.TrimSpace(string(name))+" "+filepath.Dir(path))
			}
		}
	}
	return found
}
