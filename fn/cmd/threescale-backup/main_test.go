package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/dataset"
	"threescale.dev/backup/test/objectstore"
)

// TestMain makes two commands for the scripts: the product, and one that makes
// up an installation.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"threescale-backup": func() {
			os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
		},
		"installation": func() {
			if err := makeInstallation(os.Args[1:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		},
	})
}

// makeInstallation makes the manifests and the files of an installation.
func makeInstallation(args []string) error {
	var o dataset.Options
	o.Seed = 1
	flags := flag.NewFlagSet("installation", flag.ContinueOnError)
	flags.BoolVar(&o.S3, "s3", false, "files in S3")
	flags.BoolVar(&o.SecondAPIManager, "two", false, "two APIManagers")
	missing := flags.String("without", "", "a Secret to leave out")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *missing != "" {
		o.MissingSecrets = []string{*missing}
	}
	if err := dataset.WriteManifests("objects", dataset.Installation(o)); err != nil {
		return err
	}
	_, err := dataset.Generate("files", dataset.SetS, 1)
	return err
}

// TestCommandLine runs the scripts in testdata: what a user types and sees. They have an object store, $BUCKET in it,
// and the $RECIPIENT of an age identity that is thrown away.
func TestCommandLine(t *testing.T) {
	server := objectstore.Start(t)
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	testscript.Run(t, testscript.Params{Dir: "testdata", RequireUniqueNames: true, Setup: func(env *testscript.Env) error {
		env.Setenv("RECIPIENT", key.Recipient().String())
		env.Setenv("BUCKET", bucketScheme+server.Bucket)
		env.Setenv("AWS_ENDPOINT_URL", "http://"+server.Endpoint)
		env.Setenv("AWS_ACCESS_KEY_ID", server.AccessKey)
		env.Setenv("AWS_SECRET_ACCESS_KEY", server.SecretKey)
		return nil
	}})
}
