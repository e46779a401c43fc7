package mover

import (
	"context"
	"errors"
	"fmt"

	"filippo.io/age"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/threescale"
)

// Inspect verifies every digest of a run, decrypts its objects, compares its file storage with what is there, hands the
// objects over, and reports. It only reads the volumes, which may be mounted read-only. In a bucket it reads no file of
// the file storage, but to compare an encrypted run with what looks like it: it proves that each is there and has its
// size, and leaves its digest to Refill. It hands over nothing of a damaged run. The error, if any, is that of the inspection, else that of the report; ExitCode turns it into an exit
// code.
func Inspect(ctx context.Context, o job.InspectOptions, env Env) (job.Inspection, error) {
	progress := startProgress(ctx, env)
	i := &inspector{options: o, env: env, progress: progress.set, result: job.Inspection{Run: o.Run}}
	err := denied(i.inspect(ctx))
	progress.stop()
	i.result.Completed = err == nil
	if err != nil {
		i.result.Reason, i.result.Message, i.result.Objects = Reason(err), err.Error(), nil
		if damaged, ok := errors.AsType[*archive.IntegrityError](err); ok {
			for _, p := range damaged.Problems {
				i.result.Problems = append(i.result.Problems, p.String())
			}
		}
	}
	result := i.result.Bounded()
	return result, report(ctx, env.Reporter, result.Run, job.KeyInspection, result, err)
}

// inspector is one call of Inspect.
type inspector struct {
	options    job.InspectOptions
	env        Env
	progress   func(v1alpha1.Progress)
	result     job.Inspection
	identities []age.Identity
	bucket     *archive.BucketOptions // that the files go into; nil: a volume, or nothing
}

func (i *inspector) inspect(ctx context.Context) (err error) {
	if i.identities, err = readIdentities(i.options.Identities); err != nil {
		return err
	}
	return withStore(ctx, i.env, i.options.Volume, i.options.BucketOptions, func(store archive.Store) error { return i.inspectIn(ctx, store) })
}

func (i *inspector) inspectIn(ctx context.Context, store archive.Store) error {
	id, err := resolve(ctx, store, i.options.Run)
	if err != nil {
		return err
	}
	i.result.Run = id
	run, err := store.OpenRun(ctx, id)
	if err != nil {
		return err
	}
	defer run.Close() //nolint:errcheck // it was only read
	info := run.Info()
	i.describe(info)
	if err := checkManifest(info, i.options.ManifestSHA256); err != nil {
		return err
	}
	if err := checkObjectBytes(info); err != nil { // before any is read
		return err
	}
	if err := i.findBucket(ctx, run); err != nil {
		return err
	}
	if err := i.look(ctx, run); err != nil {
		return err
	}
	if err := i.verify(ctx, store, info); err != nil {
		return err
	}
	if err := i.countFiles(ctx, run); err != nil {
		return err
	}
	objects, err := i.readObjects(ctx, run)
	if err != nil {
		return err
	}
	if err := i.compare(ctx, run); err != nil {
		return err
	}
	return i.handOver(ctx, objects)
}

// checkManifest returns an error if the manifest of a run does not have the digest want; an empty digest is not
// compared.
func checkManifest(info archive.RunInfo, want string) error {
	switch {
	case want == "" || info.ManifestSHA256 == want:
		return nil
	case info.ManifestSHA256 == "":
		return &failure{v1alpha1.ReasonRunReplaced, fmt.Errorf("run %q is not the one that is meant: it has no manifest.json, whose SHA-256 must be %s", info.ID, want)}
	}
	return &failure{v1alpha1.ReasonRunReplaced, fmt.Errorf("run %q is not the one that is meant: its manifest.json has SHA-256 %s, and must have %s: it was replaced, or another run is meant", info.ID, info.ManifestSHA256, want)}
}

// checkObjectBytes refuses objects that could not be handed over.
func checkObjectBytes(info archive.RunInfo) error {
	if m := info.Manifest; m != nil && m.Totals.ObjectBytes > job.MaxHandoverParts*job.MaxHandoverBytes {
		return &failure{v1alpha1.ReasonUnexpectedObject, fmt.Errorf("run holds %d bytes of objects, more than a backup of 3scale can hold", m.Totals.ObjectBytes)}
	}
	return nil
}

// resolve returns the run that is meant. If the newest run is damaged it is not passed over: nobody wants an older one
// restored without being asked.
func resolve(ctx context.Context, store archive.Store, run string) (string, error) {
	if run != archive.Latest {
		return run, nil
	}
	pointed, err := store.Pointed(ctx)
	if err != nil {
		return "", err
	}
	if pointed != nil && pointed.State != archive.Complete {
		return pointed.ID, nil // opening it tells what is wrong
	}
	return run, nil
}

func (i *inspector) describe(info archive.RunInfo) {
	i.result.Run, i.result.ManifestSHA256 = info.ID, info.ManifestSHA256
	m := info.Manifest
	if m == nil {
		return
	}
	i.result.Encrypted = m.Encryption != nil
	i.result.StartTime = m.StartTime
	i.result.Source = job.Source{Namespace: m.Source.Namespace, APIManager: m.Source.APIManager, UID: m.Source.UID, ThreeScale: m.Source.Version, FileStorage: m.Source.FileStorage}
	i.result.Warnings = append(i.result.Warnings, m.Warnings...)
}

// filesUnread says what was not proven of a run in a bucket: a restore would else read each file twice.
const filesUnread = "the files of the file storage were not read from the bucket: each is there and has its size; its digest is proven when it is written"

func (i *inspector) verify(ctx context.Context, store archive.Store, info archive.RunInfo) error {
	want := i.options.ManifestSHA256
	if want == "" {
		want = info.ManifestSHA256 // so that the run that is verified is the one that is read
	}
	_, inBucket := store.(*archive.Bucket)
	verified, err := store.Verify(ctx, info.ID, archive.VerifyOptions{ManifestSHA256: want, Progress: PassOn(i.progress), PresenceOnly: true})
	if err != nil {
		return err
	}
	if inBucket && info.Manifest != nil && info.Manifest.Totals.Files > 0 {
		i.result.Warnings = append(i.result.Warnings, filesUnread)
	}
	i.result.Warnings = append(i.result.Warnings, verified.Warnings...)
	if err := verified.Err(); err != nil {
		return err
	}
	i.result.Verified = info.State == archive.Complete
	return nil
}

func (i *inspector) countFiles(ctx context.Context, run *archive.Run) error {
	storage := job.InspectedStorage{Stored: run.HasFiles()}
	for e, err := range run.Entries(ctx) {
		if err != nil {
			return err
		}
		storage.Entries++
		if e.Kind == archive.File {
			storage.Files++
			storage.Bytes += e.Size
		}
	}
	i.result.FileStorage = storage
	return nil
}

// readObjects decrypts the objects and lets those pass that may be restored.
func (i *inspector) readObjects(ctx context.Context, run *archive.Run) ([]checkedFile, error) {
	m := run.Info().Manifest
	objects, err := run.Objects(ctx, i.identities...)
	if err != nil {
		return nil, explainDecryption(err, m, i.identities)
	}
	checked, apiManager, err := checkObjects(objects, m)
	if err != nil {
		return nil, err
	}
	source := &i.result.Source
	source.WildcardDomain = threescale.WildcardDomain(apiManager)
	if source.APIManager == "" {
		source.APIManager = apiManager.GetName()
	}
	if source.ThreeScale == "" {
		source.ThreeScale = threescale.Version(apiManager)
	}
	return checked, nil
}

// compare looks at the file storage that may be refilled. A volume counts for nothing where the files go into a bucket.
func (i *inspector) compare(ctx context.Context, run *archive.Run) (err error) {
	var found archive.Comparison
	switch {
	case i.bucket != nil:
		found, err = i.compareBucket(ctx, run)
	case i.options.FileStorage == "":
		return nil
	default:
		found, err = run.Compare(ctx, i.options.FileStorage, archive.RestoreOptions{Identities: i.identities, Progress: PassOn(i.progress)})
	}
	if err != nil {
		return explainDecryption(err, run.Info().Manifest, i.identities)
	}
	i.result.Existing = job.ExistingStorage{Present: true, Empty: found.Empty, Same: found.Same, Interrupted: found.Interrupted}
	return nil
}

// handOver stores the objects in the hand-over Secrets.
func (i *inspector) handOver(ctx context.Context, objects []checkedFile) error {
	parts := pack(objects)
	i.result.HandoverParts = len(parts)
	if i.env.Handover != nil {
		if have := i.env.Handover.Parts(); have < len(parts) {
			return &failure{v1alpha1.ReasonHandoverTooSmall, fmt.Errorf("cannot hand the objects over: they take %d Secrets of %d bytes, and there are %d", len(parts), job.MaxHandoverBytes, have)}
		}
		if err := handOver(ctx, i.env.Handover, parts); err != nil {
			return err
		}
	}
	for _, o := range objects {
		i.result.Objects = append(i.result.Objects, o.HandoverEntry)
	}
	i.result.HandoverSHA256 = job.HandoverDigest(parts)
	return nil
}
