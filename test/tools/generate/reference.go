package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// lineLength is the most that a line of prose has.
const lineLength = 118

// reasonSections are where writeReasons puts its tables.
const reasonSections = `
## Reasons of a backup

The conditions of a ThreeScaleBackup have these reasons. Once you have fixed why a run failed, a new value of
` + "`spec.trigger`" + ` or the next slot of the schedule starts another.

<!-- generated: reasons of a backup, by make generate -->
<!-- end -->

## Reasons of a restore

The condition ` + "`Ready`" + ` of a ThreeScaleRestore has these reasons. ` + "`Stalled`" + ` has the same when only you can help;
the message says how. Then ask again with the annotation
[` + "`reconcile.fluxcd.io/requestedAt`" + `](../../../examples/restore/README.md#re-run-a-restore), unless the message says that
the restore goes on by itself.

<!-- generated: reasons of a restore, by make generate -->
<!-- end -->

## Exit codes of a pod

The pods of a backup and of a restore end with these exit codes, and leave the reason in their report:

<!-- generated: exit codes of a pod, by make generate -->
<!-- end -->
`

// field is a line of the reference.
type field struct{ path, kind, fallback, allowed, description string }

// writeReference documents the schemas of CRDs. Made of the schemas and not of
// the Go types: a user writes paths, and knows no names of types; and rules
// across fields are in the schemas only.
func writeReference(file string, crds ...map[string]any) error {
	var out strings.Builder
	out.WriteString("<!-- Generated from the types in this folder by `make generate`. Do not edit. -->\n\n# API reference\n\n")
	fmt.Fprintf(&out, "Group `%s`, version `%s`. `kubectl explain` shows the fields too. The reasons of\nconditions, with what to do, are below: those of a [backup](#reasons-of-a-backup) and those of a\n[restore](#reasons-of-a-restore).\n",
		group, versionOf(crds[0])["name"])
	var all []field
	for _, crd := range crds {
		kind, schema := crd["spec"].(map[string]any)["names"].(map[string]any)["kind"], schemaOf(crd)
		fmt.Fprintf(&out, "\n## %s\n\n%s\n", kind, wrapped(markdown(schema["description"])))
		properties := child(schema, "properties")
		if properties["spec"] == nil {
			fields := withoutMetadata(fieldsOf(schema, ""))
			writeTable(&out, fields)
			all = append(all, fields...)
			continue
		}
		for _, part := range []string{"spec", "status"} {
			fmt.Fprintf(&out, "\n### %s of a %s\n\n%s\n", part, kind, wrapped(markdown(child(properties, part)["description"])))
			fields := fieldsOf(child(properties, part), part)
			writeTable(&out, fields)
			all = append(all, fields...)
		}
	}
	out.WriteString(reasonSections)
	if err := checkFields(all); err != nil {
		return fmt.Errorf("cannot write %q: %w", file, err)
	}
	if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
		return fmt.Errorf("cannot write %q: %w", file, err)
	}
	return nil
}

// checkFields refuses a field without a description, and a type documented
// elsewhere that no field has any more.
func checkFields(fields []field) error {
	for _, f := range fields {
		if f.description == "" {
			return fmt.Errorf("field %q has no description", f.path)
		}
	}
	for suffix := range typesElsewhere {
		if !slices.ContainsFunc(fields, func(f field) bool { return strings.HasSuffix("."+f.path, "."+suffix) }) {
			return fmt.Errorf("no field is called %q, of typesElsewhere", suffix)
		}
	}
	return nil
}

func writeTable(out *strings.Builder, fields []field) {
	out.WriteString("\n| field | type | default | allowed | |\n|---|---|---|---|---|\n")
	for _, f := range fields {
		fmt.Fprintf(out, "| `%s` | %s | %s | %s | %s |\n", f.path, f.kind, f.fallback, f.allowed, f.description)
	}
}

// withoutMetadata leaves out what every object has.
func withoutMetadata(fields []field) []field {
	return slices.DeleteFunc(fields, func(f field) bool {
		return slices.Contains([]string{"apiVersion", "kind", "metadata"}, f.path)
	})
}

// fieldsOf are the fields of an object and what is within them.
func fieldsOf(schema map[string]any, path string) []field {
	required, _ := schema["required"].([]any)
	var out []field
	for _, name := range names(schema) {
		property, at := child(child(schema, "properties"), name), join(path, name)
		allowed := allowedOf(property)
		if slices.Contains(required, any(name)) {
			allowed = append([]string{"required"}, allowed...)
		}
		out = append(out, field{
			path:        at,
			kind:        kindOf(property, at),
			fallback:    fallbackOf(property),
			allowed:     strings.Join(allowed, "; "),
			description: markdown(property["description"]),
		})
		if documentedAt(at) != "" {
			continue
		}
		if items := child(property, "items"); items != nil {
			property, at = items, at+"[]"
		}
		out = append(out, fieldsOf(property, at)...)
	}
	return out
}

// kindOf is the type of a field, in words.
func kindOf(schema map[string]any, path string) string {
	word := wordOf(schema)
	if address := documentedAt(path); address != "" {
		return fmt.Sprintf("[%s](%s)", word, address)
	}
	return word
}

func wordOf(schema map[string]any) string {
	kind, _ := schema["type"].(string)
	switch {
	case schema["x-kubernetes-int-or-string"] == true:
		return "quantity"
	case schema["format"] == "date-time":
		return "time"
	case kind == "array":
		return "list of " + wordOf(child(schema, "items")) + "s"
	case child(schema, "additionalProperties") != nil:
		return "map of " + wordOf(child(schema, "additionalProperties")) + "s"
	}
	return kind
}

// fallbackOf is the default that the API server sets. That of an object only
// repeats those of its fields.
func fallbackOf(schema map[string]any) string {
	value, ok := schema["default"]
	if _, isObject := value.(map[string]any); !ok || isObject || value == "" {
		return ""
	}
	return code(value)
}

// allowedOf says what the API server accepts.
func allowedOf(schema map[string]any) []string {
	var out []string
	if values, _ := schema["enum"].([]any); len(values) > 0 {
		var words []string
		for _, value := range values {
			words = append(words, code(value))
		}
		out = append(out, strings.Join(words, ", "))
	}
	out = append(out, rangeOf(schema, "minimum", "maximum", "")...)
	out = append(out, rangeOf(schema, "minLength", "maxLength", " characters")...)
	out = append(out, rangeOf(schema, "minItems", "maxItems", " entries")...)
	if pattern, ok := schema["pattern"]; ok && schema["x-kubernetes-int-or-string"] != true {
		out = append(out, code(pattern))
	}
	for _, each := range entriesAllowed(schema) {
		out = append(out, "each: "+each)
	}
	rules, _ := schema["x-kubernetes-validations"].([]any)
	for _, rule := range rules {
		out = append(out, markdown(rule.(map[string]any)["message"]))
	}
	return out
}

// entriesAllowed is allowedOf for the entries of a list.
func entriesAllowed(schema map[string]any) []string {
	if items := child(schema, "items"); items != nil && child(items, "properties") == nil {
		return allowedOf(items)
	}
	return nil
}

func rangeOf(schema map[string]any, least, most, unit string) []string {
	low, hasLow := schema[least]
	high, hasHigh := schema[most]
	switch {
	case hasLow && hasHigh:
		return []string{fmt.Sprintf("%v to %v%s", low, high, unit)}
	case hasLow && least != "minimum" && fmt.Sprint(low) == "1":
		return []string{"not empty"}
	case hasLow:
		return []string{fmt.Sprintf("at least %v%s", low, unit)}
	case hasHigh:
		return []string{fmt.Sprintf("at most %v%s", high, unit)}
	}
	return nil
}

// code is a value in a cell of a table.
func code(value any) string { return "`" + strings.ReplaceAll(fmt.Sprint(value), "|", `\|`) + "`" }

// wrapped breaks a paragraph into lines.
func wrapped(text string) string {
	var out strings.Builder
	length := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case length+1+len(word) > lineLength:
			out.WriteString("\n")
			length = 0
		default:
			out.WriteString(" ")
			length++
		}
		out.WriteString(word)
		length += len(word)
	}
	return out.String()
}

// markdown is a text in a cell of a table.
func markdown(text any) string {
	words, _ := text.(string)
	return strings.NewReplacer("\n", " ", "|", `\|`, "<", "&lt;", "*", `\*`).Replace(words)
}
