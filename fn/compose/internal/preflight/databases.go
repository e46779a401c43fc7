package preflight

import (
	"fmt"
	"regexp"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/podpolicy"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
)

// maxImage is what the schema allows.
const maxImage = 512

// image matches the name of an image as kubelets take it: a registry with its port, a
// path, and a tag or a digest. An IPv6 address as the registry is left out.
var image = regexp.MustCompile(`^` +
	`([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[0-9]+)?/)?` +
	`[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*` +
	`(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@[a-z0-9]+([+._-][a-z0-9]+)*:[0-9a-f]{32,})?$`)

// checkDumps looks at each database that spec.databases names.
func checkDumps(f *facts.Facts) []text.Finding {
	databases := f.Databases()
	if f.Spec.Databases != nil && len(databases) == 0 {
		return text.Findingf(v1alpha1.ReasonInvalidDatabases, text.InvalidField, "databases", text.NoDatabase)
	}
	var out []text.Finding
	for _, d := range databases {
		out = append(out, checkImage(f, d)...)
		if problem := connectionProblem(f.Installation, d.Name); problem != "" {
			out = append(out, text.Findingf(v1alpha1.ReasonInvalidDatabases, text.InvalidField, d.Field, problem)...)
		}
	}
	return out
}

// checkImage looks at the image that a SQL database is dumped with.
func checkImage(f *facts.Facts, d facts.Database) []text.Finding {
	if d.SQL == nil {
		return nil
	}
	if len(d.SQL.Image) > maxImage || !image.MatchString(d.SQL.Image) {
		return text.Findingf(v1alpha1.ReasonInvalidDatabases, text.InvalidField, d.Field+".image", fmt.Sprintf(text.ImageInvalid, job.Printable(d.SQL.Image)))
	}
	if refused := podpolicy.CheckDatabaseImage(f.Allow, d.SQL.Image); refused != "" {
		return text.Findingf(v1alpha1.ReasonDatabaseImageRefused, "%s", job.Sentence(fmt.Sprintf(text.ImageRefused, refused)))
	}
	return nil
}

// connectionProblem says why a database cannot be dumped, as far as its Secret and the
// APIManager tell; "" if they do not. What is missing is told of every installation.
func connectionProblem(i facts.Installation, d threescale.Database) string {
	secret, _ := threescale.ConnectionKeys(d)
	switch {
	case i.APIManager == nil:
		return ""
	case d == threescale.ZyncDatabase && !threescale.ZyncIsEnabled(i.APIManager):
		return text.ZyncIsOff
	case d == threescale.ZyncDatabase && !threescale.IsExternal(i.APIManager, d):
		return text.ZyncIsInternal
	case i.Secrets[secret] == nil:
		return ""
	}
	c, err := threescale.ReadConnection(d, i.Sources[secret].Data(), threescale.DatabaseTLS(i.APIManager, d))
	switch {
	case err != nil:
		return fmt.Sprintf(text.ConnectionInvalid, err)
	case c.Kind == recorded.Oracle:
		return fmt.Sprintf(text.IsOracle, secret)
	}
	return ""
}

// readableDatabases warns of databases that are stored readable.
func readableDatabases(f *facts.Facts) []text.Finding {
	if len(f.Databases()) == 0 || f.Spec.Encryption != nil {
		return nil
	}
	return text.Findingf(v1alpha1.ReasonUnencryptedDatabases, text.DatabasesReadable)
}
