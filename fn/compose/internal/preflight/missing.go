package preflight

import (
	"fmt"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/threescale"
)

// missingSecrets returns the required Secrets that do not exist, or the optional ones.
func missingSecrets(i facts.Installation, required bool) []string {
	var missing []string
	for _, object := range threescale.Secrets(i.APIManager) {
		if object.Required == required && i.Secrets[object.Name] == nil {
			missing = append(missing, object.Name)
		}
	}
	for _, ref := range i.References {
		if ref.Required == required && i.Secrets[ref.Name] == nil {
			missing = append(missing, fmt.Sprintf(text.NamedBy, ref.Name, ref.Field))
		}
	}
	return missing
}

// missingConfigMaps is missingSecrets for ConfigMaps.
func missingConfigMaps(i facts.Installation, required bool) []string {
	var missing []string
	for _, object := range threescale.ConfigMaps() {
		if object.Required == required && !i.ConfigMaps[object.Name] {
			missing = append(missing, object.Name)
		}
	}
	return missing
}

func optionalMissing(f *facts.Facts) []text.Finding {
	if f.Installation.APIManager == nil {
		return nil
	}
	missing := missingSecrets(f.Installation, false)
	for _, name := range missingConfigMaps(f.Installation, false) {
		missing = append(missing, fmt.Sprintf(text.ConfigMap, name))
	}
	return text.Listed(v1alpha1.ReasonOptionalMissing, text.OptionalMissing, missing)
}

// notCopied warns of Secrets that exist and are not among the sources.
func notCopied(f *facts.Facts) []text.Finding {
	var names []string
	for _, name := range f.Installation.Asked {
		if f.Installation.Secrets[name] != nil && f.Installation.Sources[name] == nil {
			names = append(names, name)
		}
	}
	return text.Listed(v1alpha1.ReasonNotCopied, text.TokensNotCopied, names)
}
