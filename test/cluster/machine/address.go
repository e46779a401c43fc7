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
// outside this machine and its pods reaches it. An address that is there
// already is somebody else's, and stays.
func (s *State) AddAddress(ctx context.Context) error {
	out, err := ip(ctx, "address", "show", "to", Address)
	if err != nil {
		return err
	}
	if out != "" {
		return fmt.Errorf("cannot add address %s: this machine has it already, is it a node of another cluster?", Address)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Address = true
	if err := s.save(); err != nil {
		return err
	}
	_, err = ip(ctx, "address", "add", Address+"/32", "dev", "lo")
	return err
}

// removeAddress takes the address away; it is no error if it is not there.
func (s *State) removeAddress(ctx context.Context) error {
	if !s.Address {
		return nil
	}
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
