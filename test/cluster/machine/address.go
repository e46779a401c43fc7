//go:build linux

package machine

import (
	"fmt"
	"os/exec"
	"strings"
)

// Address is the first one of the service range, so it is the address of the
// Service "kubernetes": with the API server itself on it, a pod reaches it
// although there is no kube-proxy.
const Address = "10.96.0.1"

// AddAddress puts the API server's address on the loopback interface. Nothing
// outside this machine and its pods reaches it.
func AddAddress() error {
	_, err := ip("address", "replace", Address+"/32", "dev", "lo")
	return err
}

// removeAddress takes the address away; it is no error if it is not there.
func removeAddress() error {
	out, err := ip("address", "show", "dev", "lo")
	if err != nil || !strings.Contains(out, Address+"/32") {
		return err
	}
	_, err = ip("address", "del", Address+"/32", "dev", "lo")
	return err
}

func ip(args ...string) (string, error) {
	out, err := exec.Command("ip", args...).CombinedOutput() //nolint:gosec,noctx // G204: our own arguments. It takes no time.
	if err != nil {
		return "", fmt.Errorf("cannot run ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
