//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"threescale.dev/backup/test/cluster/machine"
	"threescale.dev/backup/test/peers"
)

const janitorPrefix = "janitor-"

// A janitor is a process that outlives the harness, to clean up after it.
type janitor struct {
	cmd *exec.Cmd
	// stdin tells the janitor by its end that the harness has ended.
	stdin io.Closer
	dir   string
}

// startJanitor starts the janitor in a session of its own, so that a terminal's
// interrupt does not reach it. It shares the lock.
func startJanitor(ctx context.Context, lock *os.File) (*janitor, error) {
	if err := removeJanitors(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(machine.Folder, janitorPrefix)
	if err != nil {
		return nil, fmt.Errorf("cannot create folder of janitor: %w", err)
	}
	j := &janitor{dir: dir}
	program := filepath.Join(dir, "janitor")
	if err := peers.Build(ctx, "./test/cluster/janitor", program); err != nil {
		return nil, errors.Join(err, j.remove())
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot create log of janitor: %w", err), j.remove())
	}
	defer func() { _ = log.Close() }() // The child has its own copy.
	j.cmd = exec.Command(program)      //nolint:noctx // It outlives the context that it is started in.
	j.cmd.Stdout, j.cmd.Stderr = log, log
	j.cmd.ExtraFiles = []*os.File{lock}
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if j.stdin, err = j.cmd.StdinPipe(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot connect janitor: %w", err), j.remove())
	}
	if err := j.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start janitor: %w", err), j.remove())
	}
	return j, nil
}

// stop ends the janitor. If there is anything left to clean up, it does so
// first.
func (j *janitor) stop() error {
	errs := []error{j.stdin.Close()}
	if err := j.cmd.Wait(); err != nil {
		errs = append(errs, fmt.Errorf("cannot end janitor: %w: %s", err, tail(filepath.Join(j.dir, "log"), 10)))
	}
	return errors.Join(append(errs, j.remove())...)
}

func (j *janitor) remove() error {
	if err := os.RemoveAll(j.dir); err != nil {
		return fmt.Errorf("cannot remove folder %q: %w", j.dir, err)
	}
	return nil
}

// removeJanitors removes the folders of janitors that were killed. None of them
// runs: whoever holds the lock calls this.
func removeJanitors() error {
	dirs, err := filepath.Glob(filepath.Join(machine.Folder, janitorPrefix+"*"))
	if err != nil {
		return fmt.Errorf("cannot list folders of janitors: %w", err)
	}
	for _, dir := range dirs {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("cannot remove folder %q: %w", dir, err)
		}
	}
	return nil
}
