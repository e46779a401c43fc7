package check

import (
	"errors"
	"strings"
)

// Startup says in one error all that keeps the controller from starting; nil
// when nothing does. Only Version, Served and RestoreSchema are looked at, which
// any account may read. What could not be checked does not stop it.
func Startup(o Observed) (unread []Finding, err error) {
	findings := []Finding{Kubernetes(o.Version)}
	for _, kind := range Watched() {
		findings = append(findings, served(o, inRestores, kind, Failed, ""))
	}
	if found := o.Served[restoreKind()]; found.Err == nil && found.Value {
		findings = append(findings, restoreFields(o))
	}
	var remedies []string // each once, in order
	problems := map[string][]string{}
	for _, finding := range findings {
		switch finding.State {
		case Failed:
			if problems[finding.Do] == nil {
				remedies = append(remedies, finding.Do)
			}
			problems[finding.Do] = append(problems[finding.Do], finding.Message)
		case NotChecked:
			unread = append(unread, finding)
		}
	}
	if len(remedies) == 0 {
		return unread, nil
	}
	for i, remedy := range remedies {
		remedies[i] = strings.Join(problems[remedy], ", ") + " (to do: " + remedy + ")"
	}
	return unread, errors.New("cannot start: " + strings.Join(remedies, "; "))
}
