package operator

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// hasCondition reports whether a status has a condition of the type.
func hasCondition(status map[string]any, kind string) bool {
	_, found := findCondition(status, kind)
	return found
}

func findCondition(status map[string]any, kind string) (map[string]any, bool) {
	conditions, _ := status["conditions"].([]any)
	for _, entry := range conditions {
		if condition, ok := entry.(map[string]any); ok && condition["type"] == kind {
			return condition, true
		}
	}
	return nil, false
}

// setCondition sets a condition. The time is that of the last change between
// true and false; an empty reason or message is left out.
func setCondition(status map[string]any, kind string, value corev1.ConditionStatus, reason, message string) {
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
