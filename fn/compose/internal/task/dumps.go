package task

import (
	"slices"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// dumps are the databases that the run holds. Their connections are those of the
// snapshot, as is all else in the run.
func (r *run) dumps(f *facts.Facts) []specs.Dump {
	var out []specs.Dump
	for _, d := range f.Databases() {
		dump := specs.Dump{Database: string(d.Name), Encrypted: threescale.DatabaseTLS(f.Installation.APIManager, d.Name)}
		if d.SQL != nil {
			dump.Image = d.SQL.Image
		}
		secret, keys := threescale.ConnectionKeys(d.Name)
		dump.Connection = specs.Copy{Name: specs.SecretCopyName(r.spec(f), secret), Source: secret}
		if copied := r.Copies[secret]; copied != nil {
			dump.Connection.Keys = slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !copied.Holds(key) })
		}
		out = append(out, dump)
	}
	return out
}

// ended are the IDs of the runs that have ended.
func ended(status v1alpha1.ThreeScaleBackupStatus) []string {
	var ids []string
	for _, record := range status.Runs {
		if record.State != v1alpha1.RunRunning {
			ids = append(ids, record.ID)
		}
	}
	return ids
}

// dumped is what the status says of the databases of a run.
func dumped(dumps []recorded.Dump) []v1alpha1.DatabaseDump {
	var out []v1alpha1.DatabaseDump
	for _, d := range dumps {
		out = append(out, v1alpha1.DatabaseDump{Name: d.Name, Kind: string(d.Kind), ServerVersion: d.ServerVersion, Bytes: d.Bytes})
	}
	return out
}
