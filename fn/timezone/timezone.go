// Package timezone finds time zones by the names in a ThreeScaleBackup.
package timezone

import (
	"errors"
	"fmt"
	"time"
)

// Load returns the time zone of an IANA name; "" is UTC. "Local" is refused, since it
// differs from pod to pod.
func Load(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, errors.New(`cannot find time zone "Local": give an IANA name, such as Europe/Berlin`)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("cannot find time zone %q: give an IANA name, such as Europe/Berlin", name)
	}
	return zone, nil
}
