package overlay

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/threescale"
)

// fileStorageClaim is the path of what the operator would make the claim of the
// file storage from, and searchClaim of what it makes that of the search index
// from (apimanager_types.go:576-636).
func fileStorageClaim() []string {
	return []string{"spec", "system", "fileStorage", "persistentVolumeClaim"}
}

func searchClaim() []string {
	return []string{"spec", "system", "searchdSpec", "persistentVolumeClaim"}
}

// setStorageClass notes another class in the APIManager: for the claim of the
// file storage, from which the operator would make it if it were not there, and
// for that of the search index, if the APIManager names a class for it. One that
// names none takes the default class of whatever cluster it is on. An APIManager
// whose files are in S3 has no claim of the file storage.
func setStorageClass(objects []map[string]any, class string) error {
	if class == "" {
		return nil
	}
	object := apiManagerOf(objects)
	if _, named, err := unstructured.NestedString(object, append(searchClaim(), "storageClassName")...); named && err == nil {
		// It is there, so that what is above it are objects.
		_ = unstructured.SetNestedField(object, class, append(searchClaim(), "storageClassName")...)
	}
	if threescale.UsesS3(object) {
		return nil
	}
	if err := unstructured.SetNestedField(object, class, append(fileStorageClaim(), "storageClassName")...); err != nil {
		key := keyOf(object)
		return &UnexpectedObjectError{key.Kind, key.Name, "has a spec.system.fileStorage that is not an object"}
	}
	return nil
}

// dropVolumeNames takes the names of PersistentVolumes out of the APIManager, and
// returns which were there. A claim that names a volume waits for it for ever,
// and the volumes of the backup's cluster are not on another one, or are bound.
//
// The search index is made anew, on any volume. The file storage's volume is
// dropped only where the tree holds its claim, which binds to whatever the
// restored files were written to: without it the operator makes the claim from
// the APIManager, and that name may be the only thing that leads to the files.
//
// This changes the base. A patch in the overlay can add and replace, but the
// patches of a tree take no field away.
func dropVolumeNames(objects []map[string]any, withFileStorage bool) []threescale.Place {
	object := apiManagerOf(objects)
	claims := [][]string{searchClaim()}
	if withFileStorage {
		claims = [][]string{fileStorageClaim(), searchClaim()}
	}
	var dropped []threescale.Place
	for _, claim := range claims {
		field := slices.Concat(claim, []string{"volumeName"})
		if _, found, err := unstructured.NestedFieldNoCopy(object, field...); !found || err != nil {
			continue
		}
		unstructured.RemoveNestedField(object, field...)
		key := keyOf(object)
		dropped = append(dropped, threescale.Place{Kind: key.Kind, Name: key.Name, Field: strings.Join(field, ".")})
	}
	return dropped
}
