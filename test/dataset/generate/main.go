// Command generate writes made-up data of a 3scale installation: with -out the
// files of its file storage, with -manifests its objects as YAML.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"threescale.dev/backup/test/dataset"
)

func main() {
	err := run(os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// run writes what the flags ask for, and to stdout what it wrote, as JSON.
func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("generate", flag.ContinueOnError)
	set := flags.String("set", string(dataset.SetS), "size of the file storage: S, M, L, XL or million")
	out := flags.String("out", "", "directory for the files; it has to be empty")
	manifests := flags.String("manifests", "", "directory for the objects")
	var options dataset.Options
	flags.Int64Var(&options.Seed, "seed", 1, "the same seed gives the same data")
	flags.StringVar(&options.Namespace, "namespace", "3scale", "namespace of the objects")
	flags.StringVar(&options.Name, "name", "example", "name of the APIManager")
	flags.StringVar(&options.WildcardDomain, "domain", "apps.example.com", "wildcard domain of the installation")
	flags.StringVar(&options.StorageClass, "storage-class", "", "storage class of the file storage")
	flags.StringVar(&options.AccessMode, "access-mode", "ReadWriteMany", "access mode of the file storage")
	flags.StringVar(&options.SystemDatabaseURL, "system-database-url", "", "URL of System's database, with its login; by default it leads nowhere")
	flags.StringVar(&options.BackendStorageURL, "backend-storage-url", "", "URL of Backend's storage, likewise")
	flags.BoolVar(&options.WithoutServerMetadata, "applicable", false, "leave out what an API server adds, for kubectl apply")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *out == "" && *manifests == "" {
		return errors.New("nothing to do: give -out, -manifests or both")
	}
	if *out != "" {
		stats, err := dataset.Generate(*out, dataset.Set(*set), options.Seed)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(stdout).Encode(stats); err != nil {
			return fmt.Errorf("cannot write the totals: %w", err)
		}
	}
	if *manifests == "" {
		return nil
	}
	return dataset.WriteManifests(*manifests, dataset.Installation(options))
}
