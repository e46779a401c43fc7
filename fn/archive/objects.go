package archive

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/seal"
)

// Objects returns the objects in the order of their list, each proven by its digest and decrypted. Errors are
// ErrNoIdentity and IntegrityError. Of an unverified run it returns the good objects also with an IntegrityError.
func (r *Run) Objects(_ context.Context, identities ...age.Identity) ([]ObjectFile, error) {
	if r.info.State == Unverified {
		return r.operatorObjects()
	}
	run, err := r.volume.openRun(r.info.ID)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	list, err := readRunSums(run, r.info.Manifest.Digests.Objects)
	if err != nil {
		return nil, r.damaged(Problem{Path: r.info.path(lists.SumsName), Kind: Malformed, Got: err.Error()})
	}
	objects := make([]ObjectFile, 0, len(list))
	for _, s := range list {
		o, err := r.object(run, s, identities)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}

func (r *Run) object(run *dirfd.Dir, s lists.Sum, identities []age.Identity) (ObjectFile, error) {
	data, err := run.ReadFile(s.Path, maxUnknownSize)
	if err != nil {
		return ObjectFile{}, r.damaged(Problem{Path: r.info.path(s.Path), Kind: Missing, Got: err.Error()})
	}
	if got := dirfd.DigestOf(data); got != s.SHA256 {
		return ObjectFile{}, r.damaged(digestProblem(r.info.path(s.Path), got, s.SHA256))
	}
	path, sealed := strings.CutSuffix(s.Path, ageSuffix)
	if sealed != (r.info.Manifest.Encryption != nil) {
		return ObjectFile{}, r.damaged(Problem{Path: r.info.path(s.Path), Kind: Malformed, Got: "not encrypted as the manifest says"})
	}
	if !sealed {
		return ObjectFile{Path: path, Data: data}, nil
	}
	plain, err := seal.Open(strings.NewReader(string(data)), identities)
	if err == nil {
		data, err = dirfd.ReadAtMost(plain, maxUnknownSize)
	}
	if errors.Is(err, ErrNoIdentity) {
		return ObjectFile{}, fmt.Errorf("cannot decrypt object %q: %w", path, err)
	}
	if err != nil {
		return ObjectFile{}, r.damaged(Problem{Path: r.info.path(s.Path), Kind: Malformed, Got: err.Error()})
	}
	return ObjectFile{Path: path, Data: data}, nil
}

func (r *Run) operatorObjects() ([]ObjectFile, error) {
	paths, err := r.volume.operatorObjects()
	if err != nil {
		return nil, err
	}
	var objects []ObjectFile
	var problems []Problem
	for _, path := range paths {
		data, problem := r.volume.readOperatorObject(path)
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		objects = append(objects, ObjectFile{Path: path, Data: data})
	}
	if len(problems) > 0 {
		return objects, r.damaged(problems...)
	}
	return objects, nil
}
