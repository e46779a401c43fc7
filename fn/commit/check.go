package commit

import (
	"errors"
	"io/fs"
	"path"
	"slices"

	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/sops"
)

// check tells what keeps a commit of the restore's objects from being made, or from being seen by Flux, as far as the files of the
// newest commit tell before it is known which objects there are.
func (p *Place) check(files fs.FS) *Failure {
	encrypter, err := Encrypter(files, p.Recipients)
	if err != nil {
		return encryptionFailure(err)
	}
	if err := checkOwner(files, p.Root, p.Name, p.Namespace); err != nil {
		return &Failure{Kind: FolderTaken, Message: err.Error()}
	}
	for _, key := range p.Sensitive {
		recipients, err := encrypter.Recipients(p.file(key))
		if err == nil && len(recipients) == 0 {
			err = sops.ErrNoRules
		}
		if err != nil {
			return encryptionFailure(err)
		}
	}
	return ignoredFailure(ignored(files, p.Ignore, p.written()...))
}

func (p *Place) file(key overlay.Key) string { return path.Join(p.Root, overlay.FilePath(p.Name, key)) }

// written are the files that are known to be written.
func (p *Place) written() []string {
	paths := []string{
		path.Join(p.Root, overlay.BaseDir(p.Name), kustomizationFile),
		path.Join(p.Root, overlay.Dir(p.Name), kustomizationFile),
	}
	for _, key := range slices.Concat(p.Plain, p.Sensitive) {
		paths = append(paths, p.file(key))
	}
	return paths
}

func encryptionFailure(err error) *Failure {
	kind := EncryptionRefused
	if errors.Is(err, sops.ErrNoRules) || errors.Is(err, sops.ErrNoMatch) {
		kind = NoRecipients
	}
	return &Failure{Kind: kind, Message: err.Error()}
}

func ignoredFailure(file string) *Failure {
	if file == "" {
		return nil
	}
	return &Failure{Kind: FileIgnored, Message: file}
}
