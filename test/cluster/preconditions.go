//go:build linux

package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// packages are the Debian and Ubuntu packages that the cluster needs.
const packages = "runc containernetworking-plugins e2fsprogs exfat-fuse exfatprogs iproute2 mount util-linux"

// Preconditions says in one message everything that this machine lacks for a
// cluster, and how to get it.
func Preconditions() error {
	var missing []string
	if runtime.GOOS != "linux" {
		missing = append(missing, "Linux, this is "+runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		missing = append(missing, "root (the node mounts file systems and starts containers)")
	}
	for _, program := range []string{"go", "runc", "ip", "mkfs.ext4", "mkfs.exfat", "mount", "mount.exfat-fuse", "losetup", "setpriv"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, "the program "+program)
		}
	}
	if _, err := cniFolder(); err != nil {
		missing = append(missing, err.Error())
	}
	for _, device := range []string{"/dev/loop-control", "/dev/fuse"} {
		if _, err := os.Stat(device); err != nil {
			missing = append(missing, "the device "+device)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("cannot run a cluster on this machine; missing: %s. On Debian or Ubuntu: sudo apt-get install -y %s", strings.Join(missing, ", "), packages)
}

// cniFolder is where the distribution keeps the CNI plugins.
func cniFolder() (string, error) {
	for _, dir := range []string{"/usr/lib/cni", "/opt/cni/bin"} {
		if isFile(filepath.Join(dir, "ptp")) && isFile(filepath.Join(dir, "host-local")) && isFile(filepath.Join(dir, "loopback")) {
			return dir, nil
		}
	}
	return "", errors.New("the CNI plugins ptp, host-local and loopback in /usr/lib/cni or /opt/cni/bin")
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
