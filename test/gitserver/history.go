package gitserver

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// A Commit is one of a branch.
type Commit struct {
	// Hash is hexadecimal; Parents are hashes, none for the first commit and two
	// for a merge.
	Hash    string
	Parents []string
	// Author is "name <email>".
	Author string
	// Message is the whole message, trailers included, without the last line
	// break.
	Message string
	// Trailers of the message, values by key, in their order.
	Trailers map[string][]string
}

// Head returns the hash of a branch's last commit.
func (r *Repository) Head(ctx context.Context, branch string) (string, error) {
	out, err := r.git(ctx, r.dir, "rev-parse", "--verify", "refs/heads/"+branch)
	return strings.TrimSpace(string(out)), err
}

// Branches lists the names of all branches, in alphabetical order.
func (r *Repository) Branches(ctx context.Context) ([]string, error) {
	out, err := r.git(ctx, r.dir, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/")
	return strings.Fields(string(out)), err
}

// Commits lists the commits that a revision has, the newest first.
func (r *Repository) Commits(ctx context.Context, revision string) ([]Commit, error) {
	const field, record = "\x1f", "\x1e"
	format := strings.Join([]string{"%H", "%P", "%an <%ae>", "%B", "%(trailers:only=true,unfold=true)"}, "%x1f") + "%x1e"
	out, err := r.git(ctx, r.dir, "log", "--topo-order", "--format=tformat:"+format, revision, "--")
	if err != nil {
		return nil, err
	}
	var commits []Commit
	for entry := range strings.SplitSeq(strings.TrimSpace(string(out)), record) {
		fields := strings.Split(strings.TrimPrefix(entry, "\n"), field)
		if len(fields) != 5 {
			continue // What follows the last record.
		}
		commits = append(commits, Commit{
			Hash:     fields[0],
			Parents:  strings.Fields(fields[1]),
			Author:   fields[2],
			Message:  strings.TrimRight(fields[3], "\n"),
			Trailers: parseTrailers(fields[4]),
		})
	}
	return commits, nil
}

// Changed lists the paths that a commit changes, in alphabetical order; those of
// a merge are none.
func (r *Repository) Changed(ctx context.Context, commit string) ([]string, error) {
	out, err := r.git(ctx, r.dir, "diff-tree", "--root", "-r", "-z", "--no-commit-id", "--no-renames", "--name-only", commit)
	return paths(out), err
}

// Files lists the paths of all files at a revision, in alphabetical order.
func (r *Repository) Files(ctx context.Context, revision string) ([]string, error) {
	out, err := r.git(ctx, r.dir, "ls-tree", "-r", "-z", "--name-only", revision)
	return paths(out), err
}

// ReadFile returns a file's content at a revision.
func (r *Repository) ReadFile(ctx context.Context, revision, path string) ([]byte, error) {
	return r.git(ctx, r.dir, "cat-file", "blob", revision+":"+path)
}

// Objects returns the content of everything that was ever pushed, one after the
// other: of commits, trees and files, also of those that no branch has any more.
func (r *Repository) Objects(ctx context.Context) ([]byte, error) {
	return r.git(ctx, r.dir, "cat-file", "--batch-all-objects", "--batch")
}

// Clone makes a clone in a new folder, with the files of a revision.
func (r *Repository) Clone(ctx context.Context, folder, revision string) error {
	if _, err := r.git(ctx, r.server.dir, "clone", "--quiet", "--no-checkout", r.dir, folder); err != nil {
		return err
	}
	// A branch is one of the remote there.
	out, err := r.git(ctx, r.dir, "rev-parse", "--verify", revision+"^{commit}")
	if err != nil {
		return err
	}
	_, err = r.git(ctx, folder, "checkout", "--quiet", "--detach", strings.TrimSpace(string(out)))
	return err
}

// SetUpdateHook has a script decide about each later push, one reference at a
// time: it is called with the reference's name, its old and its new hash, what it
// prints goes to the client, and a status other than 0 refuses. It starts with
// its own "#!" line. An empty script takes the hook away.
func (r *Repository) SetUpdateHook(script string) error {
	path := r.dir + "/hooks/update"
	if script == "" {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("cannot remove hook of repository %q: %w", r.name, err)
		}
		return nil
	}
	if err := os.MkdirAll(r.dir+"/hooks", 0o700); err != nil {
		return fmt.Errorf("cannot create folder of hooks of repository %q: %w", r.name, err)
	}
	// One that runs just now is not written to.
	if err := os.WriteFile(path+".new", []byte(script), 0o700); err != nil {
		return fmt.Errorf("cannot write hook of repository %q: %w", r.name, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("cannot install hook of repository %q: %w", r.name, err)
	}
	return nil
}

// maintainerVariable tells the hook of a protected branch who pushes.
const maintainerVariable = "GITSERVER_MAINTAINER"

// Protect refuses each push to a branch, with the words that GitHub has for it,
// save the maintainer's ([Repository.Push], [Repository.Merge]).
func (r *Repository) Protect(branch string) error {
	return r.SetUpdateHook(`#!/bin/sh
[ "$1" = "refs/heads/` + branch + `" ] && [ -z "$` + maintainerVariable + `" ] || exit 0
echo "GH013: Repository rule violations found for $1."
echo "Changes must be made through a pull request."
exit 1
`)
}

func (r *Repository) exists(ctx context.Context, reference string) bool {
	_, err := r.git(ctx, r.dir, "show-ref", "--verify", "--quiet", reference)
	return err == nil
}

// git runs git in a folder, isolated from the user's and the machine's
// configuration, and returns what it prints.
func (r *Repository) git(ctx context.Context, dir string, args ...string) ([]byte, error) {
	const name, email = "Repository maintainer", "maintainer@example.com"
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = append(r.server.isolated(), "PATH="+os.Getenv("PATH"),
		"GIT_AUTHOR_NAME="+name, "GIT_AUTHOR_EMAIL="+email, "GIT_COMMITTER_NAME="+name, "GIT_COMMITTER_EMAIL="+email,
		maintainerVariable+"=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("cannot run git %s in repository %q: %w: %s", args[0], r.name, err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}

// parseTrailers reads lines of "key: value".
func parseTrailers(text string) map[string][]string {
	trailers := map[string][]string{}
	for line := range strings.Lines(text) {
		if key, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			trailers[key] = append(trailers[key], strings.TrimSpace(value))
		}
	}
	return trailers
}

// paths splits what git prints with -z.
func paths(out []byte) []string {
	list := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	list = slices.DeleteFunc(list, func(path string) bool { return path == "" })
	slices.Sort(list)
	return list
}
