// Package job is the contract between a composed Job and the mover that runs
// in its pod: the command line (Options, InspectOptions, RefillOptions,
// VerifyOptions), the files that the pod finds mounted (VolumePath and so on,
// Description), the Secrets that it fills (HandoverEntry), and the report that it
// leaves (Result, Inspection, RefillResult, Verification). It holds no behaviour
// of either side, so that both can import it.
package job

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"threescale.dev/backup/fn/retention"
)

// Where the Job mounts its volumes.
const (
	// VolumePath is the backup volume.
	VolumePath = "/backup"
	// ObjectsPath is the read-only snapshot of the installation's objects.
	ObjectsPath = "/objects"
	// FileStoragePath is the System file storage; only a refill may write to it.
	FileStoragePath = "/system-filestorage-pvc"
	// IdentitiesPath holds the age identities that decrypt a run, one or more
	// in each file whose name ends in IdentitySuffix.
	IdentitiesPath = "/identities"
	// IdentitySuffix ends the names of files and keys of a Secret that hold age
	// identities, as in Flux.
	IdentitySuffix = ".agekey"
)

// MoverPath is the mover in the image that a Composition names.
const MoverPath = "/mover"

// BackupCommand is the mover's subcommand that writes a run.
const BackupCommand = "backup"

// Options is the command line of the mover's backup. The struct tags are the
// flags of cmd/mover, which parses into this very type.
type Options struct {
	Run              string   `required:"" help:"ID of the run."`
	Volume           string   `required:"" help:"Root of the backup volume." type:"path"`
	Objects          string   `required:"" help:"Snapshot of the installation's objects." type:"path"`
	FileStorage      string   `optional:"" help:"Root of the System file storage; without it, the file storage is skipped." type:"path"`
	FileBucket       bool     `optional:"" help:"The System file storage is the bucket that the APIManager of the snapshot names."`
	FileBucketToken  string   `optional:"" help:"Folder with the token that is exchanged for a role of that bucket, in the file token." type:"path"`
	Databases        string   `optional:"" help:"Directory with the dumps of databases, which is removed once they are stored; without it, the run holds none." type:"path"`
	Recipient        []string `optional:"" help:"age recipient to encrypt for; may be repeated." sep:"none"`
	Known            []string `optional:"" env:"KNOWN_MANIFESTS" help:"RUN=SHA-256 of a run's manifest.json; may be repeated. What differs is not linked to, and with one, nor is what is not known." sep:","`
	ProveLinks       bool     `optional:"" help:"Read each stored file before linking to it, and link only to what is undamaged."`
	retention.Policy `embed:""`
	TimeZone         string `optional:"" help:"IANA name of the time zone of the hours to years of the retention; UTC by default."`
	Namespace        string `optional:"" help:"Namespace of the report ConfigMap."`
	Report           string `optional:"" help:"Name of the report ConfigMap; without it, the result is only printed."`
}

// Args returns the arguments that parse into o, but for Known, which KnownVariable
// holds: the only source of a Job's command line. No value may hold a dollar sign,
// which Kubernetes would expand; free text such as a trigger travels in the
// snapshot's Description instead.
func (o Options) Args() []string { return arguments(BackupCommand, o) }

var nextWord = regexp.MustCompile(`([a-z])([A-Z])`)

// arguments returns the subcommand and the flags that kong parses into options, by
// the same tags. What is empty is left out, and so is what the environment holds.
func arguments(command string, options any) []string {
	args := []string{command}
	value := reflect.ValueOf(options)
	for _, field := range reflect.VisibleFields(value.Type()) {
		flag := "--" + cmp.Or(field.Tag.Get("name"), strings.ToLower(nextWord.ReplaceAllString(field.Name, "$1-$2")))
		_, fromEnvironment := field.Tag.Lookup("env")
		switch given := value.FieldByIndex(field.Index); {
		case field.Anonymous, fromEnvironment, given.IsZero():
		case given.Kind() == reflect.Bool:
			args = append(args, flag)
		case given.Kind() == reflect.Slice:
			for _, item := range given.Seq2() {
				args = append(args, flag+"="+item.String())
			}
		default:
			args = append(args, fmt.Sprintf("%s=%v", flag, given))
		}
	}
	return args
}

var sha256Text = regexp.MustCompile(`^[0-9a-f]{64}$`)

// KnownVariable is the environment variable of a pod with what is known of runs: texts
// of KnownManifest, joined by commas. They are not arguments, since a mover of an
// earlier version stops at a flag that it does not know; a Composition may name such
// an image while the function is newer.
const KnownVariable = "KNOWN_MANIFESTS"

// KnownManifest is the text of a flag --known: what the SHA-256 of a run's
// manifest.json must be, in hex. It is "" if one of the two is invalid.
func KnownManifest(run, digest string) string {
	if !IsRunID(run) || !sha256Text.MatchString(digest) {
		return ""
	}
	return run + "=" + digest
}

// KnownManifests returns the digests of flags --known by run.
func KnownManifests(known []string) map[string]string {
	digests := make(map[string]string, len(known))
	for _, text := range known {
		if run, digest, ok := strings.Cut(text, "="); ok {
			digests[run] = digest
		}
	}
	return digests
}
