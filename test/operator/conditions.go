package operator

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func findCondition(status map[string]any, kind string) (map[string]any, bool) {
	conditions, _ := status["conditions"].([]any)
	for _, entry := range conditions {
		if condition, ok := entry.(map[string]any); ok && condition["type"] == kind {
			return condition, true
		}
	}
	return nil, false
}

// setSum sets a condition that is true when nothing is wrong, and names what is.
func setSum(status map[string]any, kind string, wrong []string, reason, message string) {
	if len(wrong) == 0 {
		setCondition(status, kind, true, "", "")
		return
	}
	setCondition(status, kind, false, reason, message+strings.Join(wrong, ", "))
}

// setCondition sets a condition. The time is that of the last change between
// true and false; an empty reason or message is left out.
func setCondition(status map[string]any, kind string, holds bool, reason, message string) {
	value := corev1.ConditionFalse
	if holds {
		value = corev1.ConditionTrue
	}
	condition, found := findCondition(status, kind)
	if !found {
		condition = map[string]any{"type": kind}
		conditions, _ := status["conditions"].([]any)
		status["conditions"] = append(conditions, condition)
	}
	if condition["status"] != string(value) {
		condition["status"] = string(value)
		condition["lastTransitionTime"] = time.Now().UTC().Format(time.RFC3339)
	}
	for key, text := range map[string]string{"reason": reason, "message": message} {
		if text == "" {
			delete(condition, key)
			continue
		}
		condition[key] = text
	}
}
