//go:build linux

package machine

import (
	"context"
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
func AddAddress(ctx context.Context) error {
	_, err := ip(ctx, "address", "replace", Address+"/32", "dev", "lo")
	return err
}

// removeAddress takes the address away; it is no error if it is not there.
func removeAddress(ctx context.Context) error {
	out, err := ip(ctx, "address", "show", "dev", "lo")
	if err != nil || !strings.Contains(out, Address+"/32") {
		return err
	}
	_, err = ip(ctx, "address", "del", Address+"/32", "dev", "lo")
	return err
}

func ip(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cannot run ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
