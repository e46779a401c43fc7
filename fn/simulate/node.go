package simulate

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/mover"
)

// Node plays the kubelet and the Job controller: it mounts directories where a
// pod would mount volumes, and runs the mover in this process.
type Node struct {
	// PVCs are directories by the name of the PersistentVolumeClaim.
	PVCs map[string]string
	// Progress of the mover; may be nil.
	Progress func(v1alpha1.Progress)
}

// RunJob runs the composed Job that is not finished, writes its report and its
// end into the world, and returns the mover's result, which is empty for a
// verification and a copy. ran is false when there is no such Job.
func (n *Node) RunJob(ctx context.Context, w *World) (result job.Result, ran bool, err error) {
	for _, object := range w.Composed() {
		if object.GetKind() == "Job" && len(v1alpha1.ConditionsOf(object)) == 0 {
			result, err = n.run(ctx, w, object)
			return result, true, err
		}
	}
	return result, false, nil
}

func (n *Node) run(ctx context.Context, w *World, object *unstructured.Unstructured) (job.Result, error) {
	var composed batchv1.Job
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &composed); err != nil {
		return job.Result{}, fmt.Errorf("cannot read Job %q: %w", object.GetName(), err)
	}
	pod := composed.Spec.Template.Spec
	temporary, err := os.MkdirTemp("", "threescale-backup-")
	if err != nil {
		return job.Result{}, fmt.Errorf("cannot mount: %w", err)
	}
	defer os.RemoveAll(temporary) //nolint:errcheck // it holds only copies
	env := func(namespace, report string) mover.Env {
		return mover.Env{
			Now:      w.Now,
			Hostname: composed.Name,
			Reporter: &worldReporter{world: w, key: key{"ConfigMap", namespace, report}},
			Progress: n.Progress,
		}
	}
	var result job.Result
	for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
		if slices.Equal(container.Args, []string{job.VersionArgument}) {
			continue // it tries an image, and there are none here
		}
		mounted, err := n.mount(w, composed.Namespace, pod, container, temporary)
		if err != nil {
			return job.Result{}, err
		}
		cli, err := parse(container.Args)
		if err != nil {
			return job.Result{}, fmt.Errorf("cannot run Job %q: %w", composed.Name, err)
		}
		if result, err = cli.run(ctx, mounted, known(container), env); err != nil {
			w.endJob(object, err)
			return result, err
		}
	}
	w.endJob(object, nil)
	return result, nil
}

// run runs the one command that the arguments of a Job name, on the directories that are mounted.
func (cli *commandLine) run(ctx context.Context, mounted mounts, known []string, env func(namespace, report string) mover.Env) (result job.Result, err error) {
	verify, copied, backup := cli.Verify.VerifyOptions, cli.Copy.CopyOptions, cli.Backup.Options
	prepare, dump := cli.Prepare.PrepareOptions, cli.Dump.DumpOptions
	switch {
	case prepare.Run != "":
		prepare.Volume, prepare.Tools = mounted.locate(prepare.Volume), "" // all containers run in this process
		_, err = mover.Prepare(ctx, prepare, env(prepare.Namespace, prepare.Report))
	case dump.Run != "":
		for _, path := range []*string{&dump.Connections, &dump.Scratch, &dump.Failures, &dump.Private} {
			*path = mounted.locate(*path)
		}
		_, err = mover.Dump(ctx, dump, env(dump.Namespace, dump.Report))
	case verify.Run != "":
		verify.Volume, verify.BucketOptions, verify.Known = mounted.locate(verify.Volume), mounted.locateBucket(verify.BucketOptions), known
		_, err = mover.Verify(ctx, verify, env(verify.Namespace, verify.Report))
	case copied.Run != "":
		copied.Volume, copied.BucketOptions, copied.Known = mounted.locate(copied.Volume), mounted.locateBucket(copied.BucketOptions), known
		_, err = mover.Copy(ctx, copied, env(copied.Namespace, copied.Report))
	default:
		backup.Known = known
		for _, path := range []*string{&backup.Volume, &backup.Objects, &backup.FileStorage, &backup.FileBucketToken, &backup.Databases} {
			*path = mounted.locate(*path)
		}
		result, err = mover.Backup(ctx, backup, env(backup.Namespace, backup.Report))
	}
	return result, err
}

// known returns what a container's environment says of earlier runs.
func known(container corev1.Container) []string {
	for _, variable := range container.Env {
		if variable.Name == job.KnownVariable {
			return strings.Split(variable.Value, ",")
		}
	}
	return nil
}

// commandLine is the part of the mover's command line that the Jobs of a backup use.
type commandLine struct {
	Backup struct {
		job.Options `embed:""`
	} `cmd:""`
	Prepare struct {
		job.PrepareOptions `embed:""`
	} `cmd:""`
	Dump struct {
		job.DumpOptions `embed:""`
	} `cmd:""`
	Verify struct {
		job.VerifyOptions `embed:""`
	} `cmd:""`
	Copy struct {
		job.CopyOptions `embed:""`
	} `cmd:""`
}

// parse reads a Job's arguments as the mover's command line does.
func parse(args []string) (commandLine, error) {
	var cli commandLine
	parser, err := kong.New(&cli)
	if err != nil {
		return cli, err
	}
	if _, err := parser.Parse(args); err != nil {
		return cli, fmt.Errorf("cannot parse arguments %q: %w", args, err)
	}
	return cli, nil
}

// mounts holds directories by mount path.
type mounts map[string]string

// locate returns what the longest of the mount paths makes of a path.
func (m mounts) locate(path string) string {
	located, longest := path, -1
	for mountPath, dir := range m {
		if rest, ok := strings.CutPrefix(path, mountPath); ok && (rest == "" || rest[0] == '/') && len(mountPath) > longest {
			located, longest = filepath.Join(dir, filepath.FromSlash(rest)), len(mountPath)
		}
	}
	return located
}

// locateBucket is locate for what a bucket needs.
func (m mounts) locateBucket(o job.BucketOptions) job.BucketOptions {
	for _, path := range []*string{&o.Credentials, &o.CA, &o.Proxy, &o.Token} {
		*path = m.locate(*path)
	}
	return o
}

// mount finds a directory for each volume that a container of the pod mounts, or makes one below temporary.
func (n *Node) mount(w *World, namespace string, pod corev1.PodSpec, container corev1.Container, temporary string) (mounts, error) {
	out := mounts{}
	for _, mount := range container.VolumeMounts {
		volume := pod.Volumes[slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name })]
		dir, err := n.directory(w, namespace, volume.VolumeSource, filepath.Join(temporary, volume.Name, path.Base(mount.MountPath)))
		if err == nil && mount.SubPath != "" {
			dir = filepath.Join(dir, filepath.FromSlash(mount.SubPath))
			err = os.MkdirAll(dir, 0o770)
		}
		if err != nil {
			return nil, err
		}
		out[mount.MountPath] = dir
		if parent := path.Dir(mount.MountPath); parent != "/" && volume.Projected != nil {
			out[parent] = filepath.Dir(dir) // such as that of the connections of databases
		}
	}
	return out, nil
}

// directory returns the one that stands for a volume, or makes it where temporary says.
func (n *Node) directory(w *World, namespace string, volume corev1.VolumeSource, temporary string) (string, error) {
	switch {
	case volume.PersistentVolumeClaim != nil:
		dir, ok := n.PVCs[volume.PersistentVolumeClaim.ClaimName]
		if !ok {
			return "", fmt.Errorf("cannot mount PersistentVolumeClaim %q: no directory stands for it", volume.PersistentVolumeClaim.ClaimName)
		}
		return dir, nil
	case volume.Projected != nil:
		return temporary, project(w, namespace, volume.Projected, temporary)
	}
	err := os.MkdirAll(temporary, 0o700)
	return temporary, err
}

// project writes the Secrets of a projected volume into dir.
func project(w *World, namespace string, volume *corev1.ProjectedVolumeSource, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot mount: %w", err)
	}
	for _, source := range volume.Sources {
		if source.Secret == nil {
			return errors.New("cannot mount a token of a ServiceAccount: nobody here issues one; give the bucket a secretRef in place of webIdentity to try it")
		}
		name := source.Secret.Name
		optional := source.Secret.Optional != nil && *source.Secret.Optional
		secret := w.Get("Secret", namespace, name)
		switch {
		case secret == nil && optional:
			continue
		case secret == nil:
			return fmt.Errorf("cannot mount Secret %q: not found", name)
		}
		data, _, _ := unstructured.NestedStringMap(secret.Object, "data")
		for _, item := range source.Secret.Items {
			encoded, has := data[item.Key]
			if !has && optional {
				continue
			}
			value, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				return fmt.Errorf("cannot mount key %q of Secret %q: %w", item.Key, name, err)
			}
			path := filepath.Join(dir, filepath.FromSlash(item.Path))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return fmt.Errorf("cannot mount Secret %q: %w", name, err)
			}
			if err := os.WriteFile(path, value, 0o600); err != nil {
				return fmt.Errorf("cannot mount Secret %q: %w", name, err)
			}
		}
	}
	return nil
}

// worldReporter writes into the report ConfigMap of the world.
type worldReporter struct {
	world *World
	key   key
}

// Report implements mover.Reporter.
func (r *worldReporter) Report(_ context.Context, field string, value any) error {
	report := r.world.objects[r.key]
	if report == nil {
		return fmt.Errorf("cannot patch ConfigMap %q: not found", r.key.name)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("cannot encode the %s: %w", field, err)
	}
	report = report.DeepCopy()
	if err := unstructured.SetNestedField(report.Object, string(text), "data", field); err != nil {
		return fmt.Errorf("cannot patch ConfigMap %q: %w", r.key.name, err)
	}
	report.SetResourceVersion(r.world.nextVersion())
	r.world.Put(report)
	return nil
}

// Readers implements mover.Readers.
func (r *worldReporter) Readers(context.Context) (string, error) {
	return r.world.objects[r.key].GetAnnotations()[v1alpha1.AnnotationReaders], nil
}

// Begun implements mover.Notes.
func (r *worldReporter) Begun(_ context.Context, run string) (bool, error) {
	data, _, err := unstructured.NestedStringMap(r.world.objects[r.key].Object, "data")
	if err != nil {
		return false, fmt.Errorf("cannot read ConfigMap %q: %w", r.key.name, err)
	}
	return job.HasBegun(data, run), nil
}

// endJob ends a Job as the Job controller does after the last try.
func (w *World) endJob(object *unstructured.Unstructured, err error) {
	condition := map[string]any{"type": "Complete", "status": "True", "lastTransitionTime": w.Now().UTC().Format(time.RFC3339)}
	if err != nil {
		condition["type"] = "Failed"
		condition["reason"] = "PodFailurePolicy"
		condition["message"] = fmt.Sprintf("the mover exited with code %d", mover.ExitCode(err))
	}
	ended := object.DeepCopy()
	ended.Object["status"] = map[string]any{"conditions": []any{condition}}
	ended.SetResourceVersion(w.nextVersion())
	w.Put(ended)
}
