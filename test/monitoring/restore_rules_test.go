package monitoring_test

import "testing"

const restorePrefix = "threescale_restore"

func TestRestoreStalled(t *testing.T) {
	stalled := func(object, reason string) string {
		return conditionOf(restorePrefix, object, "Stalled", "True", reason)
	}
	suspended := func(object string) string { return series("threescale_restore_suspended", object) }
	runRules(t, "ThreeScaleRestoreStalled", map[string]ruleTest{
		"ready":          {"nothing is wrong", samples{conditionOf(restorePrefix, nightly, "Ready", "True", "Restored"): "1x60", suspended(nightly): "0x60"}, "30m", nil},
		"under way":      {"it goes on by itself", samples{conditionOf(restorePrefix, nightly, "Ready", "Unknown", "Progressing"): "0x60", conditionOf(restorePrefix, nightly, "Reconciling", "True", "Progressing"): "1x60", suspended(nightly): "0x60"}, "30m", nil},
		"stalled":        {"somebody has to do something", samples{stalled(nightly, "NoRecipients"): "1x60", suspended(nightly): "0x60"}, "6m", []string{nightly}},
		"not for long":   {"who applied it is looking at it", samples{stalled(nightly, "NoRecipients"): "1x60", suspended(nightly): "0x60"}, "4m", nil},
		"another cause":  {"the alert goes on", samples{stalled(nightly, "NoRecipients"): "1x10 stale", stalled(nightly, "AccessDenied"): "_x10 1x50", suspended(nightly): "0x60"}, "12m", []string{nightly}},
		"suspended":      {"somebody has taken it up", samples{stalled(nightly, "NoRecipients"): "1x60", suspended(nightly): "1x60"}, "30m", nil},
		"mended":         {"the condition goes", samples{stalled(nightly, "NoRecipients"): "1x10 stale", suspended(nightly): "0x60"}, "15m", nil},
		"two namespaces": {"of one name, each by itself", samples{stalled(nightly, "NoRecipients"): "1x60", suspended(nightly): "1x60", stalled(other, "PushRejected"): "1x60", suspended(other): "0x60"}, "6m", []string{other}},
	})
}

func TestRestoreNotReady(t *testing.T) {
	ready := func(status, reason string) string {
		return conditionOf(restorePrefix, nightly, "Ready", status, reason)
	}
	info, suspended := series("threescale_restore_info", nightly), series("threescale_restore_suspended", nightly)
	stalled := conditionOf(restorePrefix, nightly, "Stalled", "True", "NoRecipients")
	runRules(t, "ThreeScaleRestoreNotReady", map[string]ruleTest{
		"ready":         {"nothing is wrong", samples{ready("True", "Restored"): "1x200", info: "1x200", suspended: "0x200"}, "180m", nil},
		"planned":       {"a dry run has ended", samples{ready("True", "Planned"): "1x200", info: "1x200", suspended: "0x200"}, "180m", nil},
		"under way":     {"large volumes take their time", samples{ready("Unknown", "Progressing"): "0x200", info: "1x200", suspended: "0x200"}, "119m", nil},
		"for long":      {"nobody waits for ever", samples{ready("Unknown", "Progressing"): "0x200", info: "1x200", suspended: "0x200"}, "121m", []string{nightly}},
		"tried again":   {"the time counts on", samples{ready("Unknown", "Progressing"): "0x60 stale", ready("False", "GitFailed"): "_x60 0x140", info: "1x200", suspended: "0x200"}, "121m", []string{nightly}},
		"nobody looks":  {"the controller does not run", samples{info: "1x200", suspended: "0x200"}, "121m", []string{nightly}},
		"just created":  {"it is about to look", samples{info: "1x200", suspended: "0x200"}, "5m", nil},
		"stalled":       {"that is another alert", samples{ready("False", "NoRecipients"): "0x200", stalled: "1x200", info: "1x200", suspended: "0x200"}, "180m", nil},
		"suspended":     {"somebody stopped it", samples{ready("Unknown", "Progressing"): "0x200", info: "1x200", suspended: "1x200"}, "180m", nil},
		"gone and back": {"the time counts from there", samples{ready("Unknown", "Progressing"): "0x100 stale _x2 0x97", info: "1x100 stale _x2 1x97", suspended: "0x200"}, "150m", nil},
	})
}
