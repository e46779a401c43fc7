package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/crossplane/function-sdk-go/logging"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/cmd/internal/exit"
	"threescale.dev/backup/fn/compose"
	"threescale.dev/backup/fn/function"
	"threescale.dev/backup/fn/simulate"
	"threescale.dev/backup/fn/threescale"
)

// volumePVC is the name of the PVC that stands for --volume.
const volumePVC = "command-line"

// backupCommand makes a run as a ThreeScaleBackup does: the function decides, and the
// mover writes. It changes nothing in the cluster.
type backupCommand struct {
	Volume          directory `required:"" placeholder:"DIR" help:"Directory to write the backup to: the root of a backup volume."`
	Objects         string    `type:"existingdir" xor:"from" placeholder:"DIR" help:"Read the installation from the manifests in this directory, not from a cluster."`
	Kubeconfig      string    `type:"existingfile" placeholder:"FILE" help:"Kubeconfig file; by default that of kubectl."`
	Context         string    `help:"Context of the kubeconfig; by default its current one."`
	Namespace       string    `short:"n" help:"Namespace of the installation; by default that of the context."`
	APIManager      string    `name:"api-manager" help:"Name of the APIManager; needed if the namespace has several."`
	FileStorage     string    `type:"existingdir" xor:"files" required:"" placeholder:"DIR" help:"Directory with the System file storage; or give --file-bucket or --skip-file-storage."`
	FileBucket      bool      `xor:"files" required:"" help:"The System file storage is in S3: read it there, with the credentials of its Secret."`
	SkipFileStorage bool      `xor:"files" required:"" help:"Leave the file storage out."`
	Databases       []string  `sep:"," placeholder:"NAME,..." help:"Databases to dump into the run, by the addresses in their Secrets: system-database, zync-database, system-redis, backend-redis. By default, none."`
	Recipient       []string  `placeholder:"AGE1..." help:"Encrypt the backup for this age recipient; may be repeated. By default it is not encrypted."`
}

// Run makes one run and prints its result.
func (b *backupCommand) Run(ctx context.Context, c *console) error {
	if err := os.MkdirAll(string(b.Volume), 0o750); err != nil {
		return fmt.Errorf("cannot make the directory of the backup: %w", err)
	}
	w, err := b.world(ctx)
	if err != nil {
		return exit.Usage(err)
	}
	dirs := map[string]string{volumePVC: string(b.Volume), threescale.FileStoragePVCName: b.FileStorage}
	quiet := &console{out: c.out, err: c.err, json: true}
	played, err := play(ctx, quiet, w, dirs)
	if played == nil || played.result == nil {
		return err
	}
	if played.warning != "" {
		played.result.Warnings = append([]string{played.warning}, played.result.Warnings...)
	}
	if c.json {
		return errors.Join(c.encode(played.result), err)
	}
	if err != nil {
		return err
	}
	r := played.result
	c.sayf("Run %s is on %s, verified", r.Run, b.Volume)
	tellDumps(c, r)
	c.sayf("%d files, %s, of which %s are new", r.Files, size(r.Bytes), size(r.StoredBytes))
	c.sayf("manifest.json has SHA-256 %s", r.ManifestSHA256)
	c.sayEach("warning: %s", r.Warnings)
	c.sayEach("skipped: %s", r.Skipped)
	return nil
}

// world holds the installation, or reads it from the cluster.
func (b *backupCommand) world(ctx context.Context) (*simulate.World, error) {
	var objects []*unstructured.Unstructured
	var live simulate.Lookup
	var err error
	namespace := b.Namespace
	if b.Objects == "" {
		live, namespace, err = lookup(b.Kubeconfig, b.Context, namespace)
	} else if objects, err = readManifests(b.Objects); namespace == "" {
		namespace = namespaceOf(objects)
	}
	if err != nil {
		return nil, err
	}
	if objects, err = inNamespace(objects, namespace); err != nil {
		return nil, err
	}
	if err := b.checkFiles(ctx, objects, live, namespace); err != nil {
		return nil, err
	}
	composite, err := b.composite(namespace)
	if err != nil {
		return nil, err
	}
	w := simulate.NewWorld(function.New(logging.NewNopLogger()), composite, objects)
	w.Live = live
	w.Put(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "PersistentVolumeClaim",
		"metadata": map[string]any{"name": volumePVC, "namespace": namespace},
		"spec":     map[string]any{"accessModes": []any{"ReadWriteMany"}},
		"status":   map[string]any{"phase": "Bound"},
	}})
	return w, nil
}

// checkFiles refuses a place of the file storage that is not the installation's. Whether there is one installation, and
// the named one, is not for it to say.
func (b *backupCommand) checkFiles(ctx context.Context, objects []*unstructured.Unstructured, live simulate.Lookup, namespace string) error {
	if b.SkipFileStorage {
		return nil
	}
	if live != nil {
		var err error
		gvk := threescale.APIManagerGVK()
		if objects, err = live(ctx, compose.Selector{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Namespace: namespace, Name: b.APIManager}); err != nil {
			return err
		}
	}
	for _, u := range objects {
		if u.GetKind() != threescale.APIManagerKind || b.APIManager != "" && u.GetName() != b.APIManager {
			continue
		}
		switch inS3 := threescale.UsesS3(u); {
		case inS3 && !b.FileBucket:
			return fmt.Errorf("cannot back up APIManager %q: its files are in S3: give --file-bucket in place of --file-storage", u.GetName())
		case !inS3 && b.FileBucket:
			return fmt.Errorf("cannot back up APIManager %q: its files are on a volume: give --file-storage in place of --file-bucket", u.GetName())
		}
	}
	return nil
}

// namespaceOf returns the namespace of the APIManager among the manifests, or default.
func namespaceOf(objects []*unstructured.Unstructured) string {
	for _, u := range objects {
		if u.GetKind() == threescale.APIManagerKind && u.GetNamespace() != "" {
			return u.GetNamespace()
		}
	}
	return "default"
}

// composite is the ThreeScaleBackup that does what the command line says.
func (b *backupCommand) composite(namespace string) (*unstructured.Unstructured, error) {
	backup := v1alpha1.ThreeScaleBackup{ObjectMeta: metav1.ObjectMeta{Name: volumePVC, Namespace: namespace}}
	backup.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.KindBackup))
	backup.Spec.APIManagerName = b.APIManager
	backup.Spec.BackupDestination.PersistentVolumeClaim.ClaimName = volumePVC
	if b.SkipFileStorage {
		backup.Spec.FileStorage = v1alpha1.FileStorageSkip
	}
	databases, err := chosen(b.Databases)
	if err != nil {
		return nil, err
	}
	backup.Spec.Databases = databasesOf(databases)
	if len(b.Recipient) > 0 {
		backup.Spec.Encryption = &v1alpha1.Encryption{Age: v1alpha1.AgeEncryption{Recipients: b.Recipient}}
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&backup)
	u := &unstructured.Unstructured{Object: fields}
	complete(u)
	return u, err
}
