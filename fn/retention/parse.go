package retention

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Parse reads a policy from text such as keepLast=7,keepDaily=14, with the names
// of spec.retention. Like the schema, it refuses a policy that would keep nothing.
func Parse(text string) (Policy, error) {
	var p Policy
	fields := map[string]*int32{
		"keepLast": &p.KeepLast, "keepHourly": &p.KeepHourly, "keepDaily": &p.KeepDaily,
		"keepWeekly": &p.KeepWeekly, "keepMonthly": &p.KeepMonthly, "keepYearly": &p.KeepYearly,
	}
	seen := make(map[string]bool)
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		field := fields[name]
		if field == nil {
			return Policy{}, fmt.Errorf("cannot read retention %q: %q is none of keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly and keepYearly, each with =NUMBER, with commas between them", text, part)
		}
		if seen[name] {
			return Policy{}, fmt.Errorf("cannot read retention %q: %s is given twice", text, name)
		}
		seen[name] = true
		count, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return Policy{}, fmt.Errorf("cannot read retention %q: %s is not a number from 0 to %d", text, name, math.MaxInt32)
		}
		*field = int32(count)
	}
	if p.KeepsAll() {
		return Policy{}, fmt.Errorf("cannot use retention %q: it would keep nothing", text)
	}
	return p, nil
}
