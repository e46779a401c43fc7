package mover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
)

// readIdentities reads the age identities of all *.agekey files of a folder; none without a folder. An error never
// tells what a file holds.
func readIdentities(dir string) ([]age.Identity, error) {
	if dir == "" {
		return nil, nil
	}
	files, err := names(dir)
	if err != nil {
		return nil, err
	}
	var identities []age.Identity
	for _, name := range files {
		if !strings.HasSuffix(name, job.IdentitySuffix) {
			continue
		}
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("cannot read age identities: %w", err)
		}
		parsed, err := age.ParseIdentities(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, &failure{v1alpha1.ReasonDecryptionFailed, fmt.Errorf("cannot read age identities %q: it does not hold AGE-SECRET-KEY lines only", name)}
		}
		identities = append(identities, parsed...)
	}
	return identities, nil
}

// explainDecryption says for whom a run is encrypted if none of the given identities decrypts it.
func explainDecryption(err error, m *archive.Manifest, identities []age.Identity) error {
	if m == nil || m.Encryption == nil || !errors.Is(err, archive.ErrNoIdentity) {
		return err
	}
	const named = 5
	recipients := m.Encryption.Recipients
	return &failure{v1alpha1.ReasonDecryptionFailed, fmt.Errorf("run %q is encrypted for %s, and none of the %d age identities in *%s decrypts it: give the identity of a recipient",
		m.Run, strings.Join(recipients[:min(named, len(recipients))], ", "), len(identities), job.IdentitySuffix)}
}

// Unlock reads the objects of a run, each proven, with the age identities of a folder. The manifest.json of the run must
// have the SHA-256 that is given, if one is.
func Unlock(ctx context.Context, run *archive.Run, manifestSHA256, folder string) ([]archive.ObjectFile, []age.Identity, error) {
	if err := checkManifest(run.Info(), manifestSHA256); err != nil {
		return nil, nil, err
	}
	identities, err := readIdentities(folder)
	if err != nil {
		return nil, nil, err
	}
	objects, err := run.Objects(ctx, identities...)
	return objects, identities, explainDecryption(err, run.Info().Manifest, identities)
}
