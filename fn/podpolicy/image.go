package podpolicy

import (
	"fmt"
	"slices"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// CheckDatabaseImage returns why an image with the client of a database is refused, naming the field that would allow it;
// "" if it is not. A program of that image gets the login of the database, which who names the image may not be allowed to
// read.
func CheckDatabaseImage(allow v1alpha1.Allow, image string) string {
	if len(allow.DatabaseImages) == 0 || AllowsImage(allow.DatabaseImages, image) {
		return ""
	}
	return fmt.Sprintf("image %q is not one that input.allow.databaseImages of the Composition names", image)
}

// AllowsImage reports whether one of the patterns, which may end in a star, names an image.
func AllowsImage(patterns []string, image string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, image) })
}
