//go:build linux

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/test/cluster/machine"
	"threescale.dev/backup/test/cluster/node"
	"threescale.dev/backup/test/peers"
)

const (
	// nodeName is a name that resolves to this machine.
	nodeName   = "localhost"
	pauseImage = "docker.io/local/pause:1"
)

// tunedSysctls are the kernel settings that the kubelet and the CNI plugins
// change on a machine. They are put back.
func tunedSysctls() []string {
	return []string{
		"/proc/sys/kernel/keys/root_maxbytes",
		"/proc/sys/kernel/keys/root_maxkeys",
		"/proc/sys/kernel/panic",
		"/proc/sys/kernel/panic_on_oops",
		"/proc/sys/net/ipv4/ip_forward",
		"/proc/sys/vm/overcommit_memory",
		"/proc/sys/vm/panic_on_oom",
	}
}

// privateFolders are those that containerd, its shims, the kubelet and the CNI
// plugins write to whatever they are told. The node has its own, empty ones.
func privateFolders() []string {
	return []string{"/run", "/var/log", "/var/lib/kubelet", "/var/lib/cni"}
}

// visibleOnNode is nil if the node sees the same at these paths as the machine.
func visibleOnNode(paths ...string) error {
	for _, path := range paths {
		for _, private := range privateFolders() {
			if strings.HasPrefix(path, private+"/") {
				return fmt.Errorf("cannot use %q: the node has a %s of its own", path, private)
			}
		}
	}
	return nil
}

// startNode starts containerd and the kubelet, and makes the pause image.
func (c *Cluster) startNode(ctx context.Context) error {
	if err := c.prepareMachine(ctx); err != nil {
		return err
	}
	program := c.path("nodeinit")
	if err := peers.Build(ctx, "./test/cluster/nodeinit", program); err != nil {
		return err
	}
	if err := c.writeNodeConfig(); err != nil {
		return err
	}
	p, err := c.StartProcess(ProcessOptions{
		Name:       "node",
		Path:       program,
		Args:       []string{c.path("node.json")},
		namespaces: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS,
	})
	if err != nil {
		return err
	}
	pause := c.path("pause")
	if err := peers.Build(ctx, "./test/cluster/pause", pause); err != nil {
		return err
	}
	err = p.Await(ctx, "containerd", func(ctx context.Context) error {
		_, err := c.ctr(ctx, "version")
		return err
	})
	if err != nil {
		return err
	}
	return c.LoadImage(ctx, Image{Name: pauseImage, Binaries: map[string]string{"/pause": pause}, Entrypoint: []string{"/pause"}, User: "65535:65535"})
}

// Kubelet is the ID of the kubelet's process, for a test that kills it: the node
// starts it again, and its pods go on. The node itself is Process("node"), with
// which all that runs on it ends.
func (c *Cluster) Kubelet() (pid int, err error) {
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, fmt.Errorf("cannot list processes: %w", err)
	}
	for _, path := range processes {
		args, err := os.ReadFile(path)
		if err == nil && strings.HasPrefix(string(args), c.binaries["kubelet"]+"\x00") {
			return strconv.Atoi(filepath.Base(filepath.Dir(path)))
		}
	}
	return 0, errors.New("cannot find the kubelet's process")
}

// prepareMachine records what the node changes on this machine, and makes the
// folder of the volumes a mount of its own, from which later mounts propagate
// to the node even where the machine's root does not.
func (c *Cluster) prepareMachine(ctx context.Context) error {
	for _, path := range tunedSysctls() {
		if err := c.state.KeepSysctl(path); err != nil {
			return err
		}
	}
	for _, dir := range privateFolders() {
		if err := c.state.MakeFolder(dir); err != nil {
			return err
		}
	}
	if err := machine.MakeCgroups(); err != nil {
		return err
	}
	if _, err := run(ctx, "mount", "--bind", c.volumeDir(), c.volumeDir()); err != nil {
		return err
	}
	_, err := run(ctx, "mount", "--make-shared", c.volumeDir())
	return err
}

// awaitNode returns when the node takes pods.
func (c *Cluster) awaitNode(ctx context.Context) error {
	return Eventually(ctx, readyTimeout, "the node", func(ctx context.Context) error {
		var n corev1.Node
		if err := c.client.Get(ctx, types.NamespacedName{Name: nodeName}, &n); err != nil {
			return fmt.Errorf("cannot get node %q: %w", nodeName, err)
		}
		for _, condition := range n.Status.Conditions {
			if condition.Type != corev1.NodeReady {
				continue
			}
			if condition.Status == corev1.ConditionTrue && len(n.Spec.Taints) == 0 {
				return c.giveDisk(ctx, &n)
			}
			return fmt.Errorf("node %q is not ready: %s (%d taints)", nodeName, condition.Message, len(n.Spec.Taints))
		}
		return fmt.Errorf("node %q has no condition Ready", nodeName)
	})
}

// giveDisk has the node take pods that ask for ephemeral storage, of which a kubelet that measures no disk names none. It keeps what
// others have set, and makes it allocatable.
func (c *Cluster) giveDisk(ctx context.Context, n *corev1.Node) error {
	if _, there := n.Status.Allocatable[corev1.ResourceEphemeralStorage]; there {
		return nil
	}
	before := n.DeepCopy()
	for _, list := range []corev1.ResourceList{n.Status.Capacity, n.Status.Allocatable} {
		list[corev1.ResourceEphemeralStorage] = resource.MustParse("100Gi")
	}
	if err := c.client.Status().Patch(ctx, n, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("cannot give node %q a disk: %w", nodeName, err)
	}
	return nil
}

// writeNodeConfig writes the configuration of everything on the node.
func (c *Cluster) writeNodeConfig() error {
	for _, dir := range []string{c.path("cni"), c.path("pod-logs"), c.path("kubelet")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("cannot create folder %q: %w", dir, err)
		}
	}
	plugins, err := cniFolder()
	if err != nil {
		return err
	}
	cni, err := json.MarshalIndent(c.cniConfig(), "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode network configuration: %w", err)
	}
	kubelet, err := json.MarshalIndent(c.kubeletConfig(), "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode kubelet configuration: %w", err)
	}
	commands, err := json.MarshalIndent(c.nodeConfig(), "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode node configuration: %w", err)
	}
	return writeFiles(map[string][]byte{
		c.path("containerd.toml"):     c.containerdConfig(plugins),
		c.path("cni", "pod.conflist"): cni,
		c.path("kubelet.json"):        kubelet,
		c.path("node.json"):           commands,
		// Pods have no DNS: nothing under test needs it.
		c.path("resolv.conf"): nil,
	})
}

func (c *Cluster) nodeConfig() node.Config {
	return node.Config{Private: privateFolders(), Commands: []node.Command{
		{
			Args:   []string{c.binaries["containerd"], "--config", c.path("containerd.toml"), "--log-level", "info"},
			Log:    c.logDir() + "/containerd.log",
			Socket: c.containerdSocket(),
		},
		{
			Args: []string{
				c.binaries["kubelet"],
				"--config", c.path("kubelet.json"),
				"--kubeconfig", c.path("kubelet.kubeconfig"),
				"--root-dir", c.path("kubelet"), "--cert-dir", c.path("kubelet", "pki"),
				"--hostname-override", nodeName,
				// The API server dials the node by this address, and nobody
				// else on the network can.
				"--node-ip", apiAddress,
			},
			Log:     c.logDir() + "/kubelet.log",
			Restart: true,
		},
	}}
}

func (c *Cluster) containerdSocket() string { return c.path("containerd.sock") }

// containerdConfig leaves out the plugins that would write to folders of the
// machine or look for file systems that nobody has.
func (c *Cluster) containerdConfig(cniPlugins string) []byte {
	return fmt.Appendf(nil, `version = 3
root = %q
state = %q
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri",
  "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = %q

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = %q

[plugins."io.containerd.cri.v1.runtime"]
  # A container of a virtual machine often lacks CAP_SYS_RESOURCE.
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    runtime_path = %q
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = [%q]
    conf_dir = %q
`, c.path("containerd"), c.path("containerd-state"), c.containerdSocket(), pauseImage, c.binaries["containerd-shim-runc-v2"], cniPlugins, c.path("cni"))
}

// cniConfig gives each pod an address of its own and a route to this machine,
// hence to the API server and to what tests serve on its address. There is no
// masquerading: a pod reaches nothing beyond the machine.
func (c *Cluster) cniConfig() map[string]any {
	return map[string]any{
		"cniVersion": "0.4.0",
		"name":       "threescale-backup-test",
		"plugins": []any{map[string]any{
			"type": "ptp",
			"ipam": map[string]any{
				"type":    "host-local",
				"dataDir": c.path("cni-addresses"),
				"ranges":  []any{[]any{map[string]any{"subnet": podRange}}},
				"routes":  []any{map[string]any{"dst": "0.0.0.0/0"}},
			},
		}},
	}
}

// kubeletConfig has what a machine without systemd and with either version of
// control groups can do. Only the API server's certificate opens its port.
func (c *Cluster) kubeletConfig() map[string]any {
	return map[string]any{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"address":                  apiAddress,
		"healthzPort":              0,
		"authentication":           map[string]any{"anonymous": map[string]any{"enabled": false}, "webhook": map[string]any{"enabled": false}, "x509": map[string]any{"clientCAFile": c.path("tls", "ca.crt")}},
		"authorization":            map[string]any{"mode": "AlwaysAllow"},
		"containerRuntimeEndpoint": "unix://" + c.containerdSocket(),
		"cgroupDriver":             "cgroupfs",
		"cgroupRoot":               machine.CgroupParent,
		"cgroupsPerQOS":            true,
		"enforceNodeAllocatable":   []string{},
		"failSwapOn":               false,
		"failCgroupV1":             false,
		// A developer's full disk is not the node's.
		"localStorageCapacityIsolation": false,
		"evictionHard":                  map[string]any{"memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%", "imagefs.inodesFree": "0%"},
		"imageGCHighThresholdPercent":   100,
		"makeIPTablesUtilChains":        false,
		"podLogsDir":                    c.path("pod-logs"),
		"volumePluginDir":               c.path("kubelet", "volume-plugins"),
		"resolvConf":                    c.path("resolv.conf"),
	}
}
