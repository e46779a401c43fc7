//go:build linux

// Package machine keeps a record of what a cluster changes on this machine, and
// puts it back; see [State] and [State.Undo]. It is small, so that the janitor
// can do it too when the harness is gone.
package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Folder is the same for all harnesses of a machine: there is one address
// 10.96.0.1, so there is one cluster at a time.
const Folder = "/run/threescale-backup"

// State is what has to be undone on this machine. It is on disk before the
// thing it speaks of exists, so that somebody else can clean up after a harness
// that was killed.
type State struct {
	mu   sync.Mutex
	path string

	// WorkDir holds every file of the cluster; each mount is below it.
	WorkDir string `json:"workDir"`
	// BootID of the kernel: after a reboot there are no processes to end.
	BootID string `json:"bootId"`
	// Address says that we put the API server's address on this machine.
	Address bool `json:"address"`
	// Processes by ID. The start time tells them from later ones of that ID.
	Processes []processState `json:"processes"`
	// Sysctls as they were before kubelet and CNI changed them.
	Sysctls map[string]string `json:"sysctls"`
	// Folders that were not there before.
	Folders []string `json:"folders"`
}

type processState struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Start string `json:"start"`
}

// New starts the record of a cluster in the given folder.
func New(workDir string) (*State, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	s := &State{path: statePath(), WorkDir: workDir, BootID: boot, Sysctls: map[string]string{}}
	return s, s.save()
}

// Load returns the record of the cluster that ran last. The error is
// [fs.ErrNotExist] if that was cleaned up.
func Load() (*State, error) {
	s := &State{path: statePath()}
	data, err := os.ReadFile(s.path)
	if err != nil {
		return nil, fmt.Errorf("cannot read state %q: %w", s.path, err)
	}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("cannot parse state %q: %w", s.path, err)
	}
	return s, nil
}

func statePath() string { return filepath.Join(Folder, "cluster.json") }

// bootID tells one run of the kernel from another.
func bootID() (string, error) {
	const path = "/proc/sys/kernel/random/boot_id"
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read %q: %w", path, err)
	}
	return strings.TrimSpace(string(data)), nil
}

// AddProcess records a process that was just started.
func (s *State) AddProcess(name string, pid int) error {
	start, err := processStart(pid)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Processes = append(s.Processes, processState{Name: name, PID: pid, Start: start})
	return s.save()
}

// KeepSysctl records a kernel setting that is about to be changed.
func (s *State) KeepSysctl(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read kernel setting %q: %w", path, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Sysctls[path] = strings.TrimSpace(string(data))
	return s.save()
}

// MakeFolder makes a folder of the machine that the node needs, and records it
// if it was not there.
func (s *State) MakeFolder(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Folders = append(s.Folders, path)
	if err := s.save(); err != nil {
		return err
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("cannot create folder %q: %w", path, err)
	}
	return nil
}

// save replaces the file in one step. Callers hold the lock or own the state.
func (s *State) save() error {
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("cannot encode state %q: %w", s.path, err)
	}
	temp := s.path + ".tmp"
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return fmt.Errorf("cannot write state %q: %w", s.path, err)
	}
	if err := os.Rename(temp, s.path); err != nil {
		return fmt.Errorf("cannot write state %q: %w", s.path, err)
	}
	return nil
}

// processStart returns the time at which a process started, in clock ticks
// since boot: field 22 of its stat file, counted behind the command name, which
// may hold spaces and parentheses.
func processStart(pid int) (string, error) {
	path := filepath.Join("/proc", strconv.Itoa(pid), "stat")
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read start time of process %d: %w", pid, err)
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	if i := strings.LastIndex(string(data), ") "); i >= 0 {
		rest = string(data)[i+2:]
	}
	fields := strings.Fields(rest)
	const startTime = 22 - 3
	if len(fields) <= startTime {
		return "", fmt.Errorf("cannot read start time of process %d: want more than %d fields, got %d", pid, startTime, len(fields))
	}
	return fields[startTime], nil
}

// alive reports whether the very process still runs.
func (p processState) alive() bool {
	start, err := processStart(p.PID)
	return err == nil && start == p.Start
}

// kill ends the process if it is still the one that was recorded.
func (p processState) kill() error {
	if !p.alive() {
		return nil
	}
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		return fmt.Errorf("cannot kill process %q (%d): %w", p.Name, p.PID, err)
	}
	return nil
}
