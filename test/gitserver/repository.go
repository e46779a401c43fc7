package gitserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Repository is a bare one on the server.
type Repository struct {
	server *Server
	name   string
	dir    string
}

// CreateRepository makes a repository whose branch has one commit with the files
// of the folder; without a folder ("") it is empty, and has no commit.
func (s *Server) CreateRepository(ctx context.Context, name, branch, folder string) (*Repository, error) {
	r := &Repository{server: s, name: name, dir: filepath.Join(s.root(), name+".git")}
	if _, err := r.git(ctx, s.root(), "init", "--quiet", "--bare", "--initial-branch="+branch, r.dir); err != nil {
		return nil, err
	}
	// SSH starts git with the user's configuration, which these go before.
	// Nothing is to run after a push has ended.
	for key, value := range map[string]string{
		"core.hooksPath": filepath.Join(r.dir, "hooks"),
		"gc.auto":        "0", "receive.autogc": "false", "maintenance.auto": "false",
	} {
		if _, err := r.git(ctx, r.dir, "config", key, value); err != nil {
			return nil, err
		}
	}
	if folder == "" {
		return r, nil
	}
	files, err := readFolder(folder)
	if err != nil {
		return nil, err
	}
	_, err = r.Push(ctx, Change{Branch: branch, Message: "Initial commit", Files: files})
	return r, err
}

// HTTP is the URL without credentials, see [Server.BasicAuth].
func (r *Repository) HTTP() string { return r.server.http.HTTPAddress() + "/" + r.name + ".git" }

// HTTPS is the URL without credentials, see [Server.TLSAuth].
func (r *Repository) HTTPS() string { return r.server.https.HTTPAddress() + "/" + r.name + ".git" }

// SSH is the URL with the user, see [Server.SSHAuth].
func (r *Repository) SSH() string { return r.server.ssh.SSHAddress() + "/" + r.name + ".git" }

// A Change is what somebody else commits.
type Change struct {
	// Branch that is changed; it may be new.
	Branch string
	// From is the revision that a new branch starts at; by default it has no
	// ancestor.
	From string
	// Message of the commit, with its trailers.
	Message string
	// Files by slash-separated path; nil removes the file.
	Files map[string][]byte
}

// Push commits a change on top of the branch as the repository's maintainer, who
// also pushes to a protected branch, and returns the commit's hash.
func (r *Repository) Push(ctx context.Context, c Change) (string, error) {
	return r.withClone(ctx, func(work string) error {
		if err := r.checkout(ctx, work, c.Branch, c.From); err != nil {
			return err
		}
		for _, path := range slices.Sorted(maps.Keys(c.Files)) {
			if err := writeFile(filepath.Join(work, filepath.FromSlash(path)), c.Files[path]); err != nil {
				return err
			}
		}
		if _, err := r.git(ctx, work, "add", "--all"); err != nil {
			return err
		}
		if _, err := r.git(ctx, work, "commit", "--quiet", "--allow-empty", "--message", c.Message); err != nil {
			return err
		}
		_, err := r.git(ctx, work, "push", "--quiet", "origin", "HEAD:refs/heads/"+c.Branch)
		return err
	})
}

// Merge merges a branch into another with a merge commit, as the repository's
// maintainer, and returns the commit's hash.
func (r *Repository) Merge(ctx context.Context, from, into string) (string, error) {
	return r.withClone(ctx, func(work string) error {
		if err := r.checkout(ctx, work, into, ""); err != nil {
			return err
		}
		if _, err := r.git(ctx, work, "merge", "--quiet", "--no-ff", "--no-edit", "origin/"+from); err != nil {
			return err
		}
		_, err := r.git(ctx, work, "push", "--quiet", "origin", "HEAD:refs/heads/"+into)
		return err
	})
}

// withClone calls the function with the work tree of a new clone and returns
// the hash of its head then. It goes by the file system, as a maintainer's work
// is not what is under test.
func (r *Repository) withClone(ctx context.Context, change func(work string) error) (hash string, err error) {
	work, err := os.MkdirTemp(r.server.dir, "work-")
	if err != nil {
		return "", fmt.Errorf("cannot create work tree: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if _, err := r.git(ctx, r.server.dir, "clone", "--quiet", "--no-checkout", r.dir, work); err != nil {
		return "", err
	}
	if err := change(work); err != nil {
		return "", err
	}
	out, err := r.git(ctx, work, "rev-parse", "HEAD")
	return strings.TrimSpace(string(out)), err
}

// checkout checks the branch out, or starts it.
func (r *Repository) checkout(ctx context.Context, work, branch, from string) error {
	var err error
	switch {
	case r.exists(ctx, "refs/heads/"+branch):
		_, err = r.git(ctx, work, "checkout", "--quiet", "-B", branch, "origin/"+branch)
	case from != "":
		_, err = r.git(ctx, work, "checkout", "--quiet", "-B", branch, from)
	default:
		_, err = r.git(ctx, work, "checkout", "--quiet", "--orphan", branch)
	}
	return err
}

// readFolder returns the regular files of a folder by slash-separated path.
func readFolder(folder string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if data == nil {
			data = []byte{}
		}
		files[filepath.ToSlash(relative)] = data
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read folder %q: %w", folder, err)
	}
	return files, nil
}

// writeFile writes a file of a work tree, or removes it if there is no data.
func writeFile(path string, data []byte) error {
	if data == nil {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("cannot remove file of work tree: %w", err)
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot create folder of work tree: %w", err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("cannot write file of work tree: %w", err)
	}
	return nil
}
