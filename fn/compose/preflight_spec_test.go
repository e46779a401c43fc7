package compose_test

import (
	"strings"

	"filippo.io/age"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// hybrid returns a recipient that resists quantum computers.
func hybrid() string {
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		panic(err)
	}
	return key.Recipient().String()
}

// scopeRefusals: which namespace a composite is for must be beyond doubt.
func scopeRefusals() map[string]refusal {
	const label = "crossplane.io/claim-namespace"
	return map[string]refusal{
		"ClaimRefAndLabelDiffer": {
			reason: "a composite for one namespace that claims another would read that one's Secrets with Crossplane's rights",
			arrange: func(w *world) {
				w.Composite.SetLabels(map[string]string{label: "victim"})
			},
			want: v1alpha1.ReasonNamespaceRefused, holds: []string{`"3scale"`, `"victim"`, "apply the claim again"}, fatal: true,
		},
		"NoLabel": {
			reason:  "the label alone is Crossplane's own word",
			arrange: func(w *world) { w.Composite.SetLabels(nil) },
			want:    v1alpha1.ReasonNamespaceRefused, fatal: true,
		},
		"NoClaimRef": {
			reason:  "a label without a claim was written by hand",
			arrange: func(w *world) { delete(w.Composite.Object["spec"].(map[string]any), "claimRef") },
			want:    v1alpha1.ReasonNamespaceRefused, fatal: true,
		},
		"NeitherClaimRefNorLabel": {
			reason: "a composite made by hand is for no namespace",
			arrange: func(w *world) {
				w.Composite.SetLabels(nil)
				delete(w.Composite.Object["spec"].(map[string]any), "claimRef")
			},
			want: v1alpha1.ReasonNamespaceRefused, holds: []string{"apply a ThreeScaleBackup in the namespace of the installation"}, fatal: true,
		},
		"ClaimRefWithoutName": {
			reason:  "objects are named after the claim",
			arrange: func(w *world) { w.setSpec("", "claimRef", "name") },
			want:    v1alpha1.ReasonNamespaceRefused, fatal: true,
		},
		"StatusUnreadable": {
			reason:  "its author is not us: to go on without the history could run a backup twice",
			arrange: func(w *world) { set("none", "status", "runs")(w.Composite.Object) },
			want:    v1alpha1.ReasonInternalError, holds: []string{"Cannot read the status"}, fatal: true,
		},
		"NamespaceGone": {
			reason:  "its UID is what keeps the volume alive, and must not be guessed",
			arrange: func(w *world) { w.Delete("Namespace", "", namespace) },
			want:    v1alpha1.ReasonNamespaceNotFound, holds: []string{`"3scale"`},
		},
	}
}

// destination writes a spec with the given fields of the destination's PVC.
func destination(fields string) string {
	return `{backupDestination: {persistentVolumeClaim: {` + fields + `}}}`
}

// beside writes a spec with a destination that is good and other fields.
func beside(fields string) string {
	return `{backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}, ` + fields + `}`
}

// specRefusals: the schema refuses most of these already, but an older schema
// or `crossplane render` does not.
func specRefusals() map[string]refusal {
	const identity = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ"
	const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
	invalid := v1alpha1.ReasonInvalidSpec
	return map[string]refusal{
		"NoImage": {
			reason: "a Job without an image is refused by the API server", arrange: func(w *world) { w.Image = "" },
			want: invalid, holds: []string{"input.image"},
		},
		"WrongType": {
			reason: "a field that does not decode must not stop the function", spec: beside(`apiManagerName: [5]`),
			want: invalid, holds: []string{"spec.apiManagerName"},
		},
		"QuantityMalformed": {
			reason: "the user has to know which field to correct", spec: destination(`resources: {requests: 10Gigs}`),
			want: invalid, holds: []string{"spec.backupDestination.persistentVolumeClaim.resources.requests", "quantities must match"},
		},
		"QuantityZero": {
			reason: "no volume has no size", spec: destination(`resources: {requests: 0}`),
			want: invalid, holds: []string{"resources.requests is 0"},
		},
		"QuantityNegative": {
			reason: "nor a negative one", spec: destination(`resources: {requests: -1Gi}`),
			want: invalid, holds: []string{"resources.requests is -1Gi"},
		},
		"NoDestination": {
			reason: "a backup goes somewhere", spec: destination(``),
			want: invalid, holds: []string{"set resources.requests, volumeName or claimName"},
		},
		"ClaimNameAndMore": {
			reason: "a claim that exists has its own size", spec: destination(`claimName: backups, resources: {requests: 1Gi}`),
			want: invalid, holds: []string{"claimName"},
		},
		"AccessModeReadOnly": {
			reason: "a backup writes", spec: destination(`resources: {requests: 1Gi}, accessModes: [ReadOnlyMany]`),
			want: invalid, holds: []string{"accessModes"},
		},
		"TriggerTooLong": {
			reason: "254 bytes, though only 127 characters", spec: beside(`trigger: "` + strings.Repeat("ü", 127) + `"`),
			want: invalid, holds: []string{"Spec.trigger", "254 bytes", "253"},
		},
		"ScheduleMalformed": {
			reason: "what is not active yet is validated all the same", spec: beside(`schedule: "61 * * * *"`),
			want: invalid, holds: []string{"Spec.schedule"},
		},
		"ScheduleWithZone": {
			reason: "there is a field for it", spec: beside(`schedule: "CRON_TZ=Europe/Berlin 0 2 * * *"`),
			want: invalid, holds: []string{"Spec.schedule", "spec.timeZone"},
		},
		"ScheduleNeverFires": {
			reason: "nobody would notice for years", spec: beside(`schedule: "0 0 30 2 *"`),
			want: invalid, holds: []string{"Spec.schedule", "never fires"},
		},
		"ScheduleWithoutTimes": {
			reason: "the function has no memory of when it began", spec: beside(`schedule: "@every 1h"`),
			want: invalid, holds: []string{"Spec.schedule", "fixed times"},
		},
		"VerifyScheduleEmpty": {
			reason: "it looks as if it were on", spec: beside(`verify: {schedule: ""}`),
			want: invalid, holds: []string{"Spec.verify.schedule", "empty"},
		},
		"VerifyScheduleMalformed": {
			reason: "likewise", spec: beside(`verify: {schedule: never}`),
			want: invalid, holds: []string{"Spec.verify.schedule"},
		},
		"TimeZoneUnknown": {
			reason: "a typing error would move all runs", spec: beside(`timeZone: Europe/Berlin2`),
			want: invalid, holds: []string{"Spec.timeZone", "Europe/Berlin2"},
		},
		"TimeZoneLocal": {
			reason: "the function's own zone is nobody's choice", spec: beside(`timeZone: Local`),
			want: invalid, holds: []string{"Spec.timeZone"},
		},
		"TimeZonePath": {
			reason: "a zone is no file", spec: beside(`timeZone: ../../etc/passwd`),
			want: invalid, holds: []string{"Spec.timeZone"},
		},
		"RetentionOfNothing": {
			reason: "no default and no slip deletes every run", spec: beside(`retention: {keepLast: 0, keepDaily: 0}`),
			want: invalid, holds: []string{"Spec.retention", "keep nothing"},
		},
		"RetentionNegative": {
			reason: "it has no meaning", spec: beside(`retention: {keepLast: 3, keepDaily: -1}`),
			want: invalid, holds: []string{"Spec.retention", "-1"},
		},
		"StartingDeadlineNegative": {
			reason: "it has no meaning", spec: beside(`startingDeadlineSeconds: -1`),
			want: invalid, holds: []string{"Spec.startingDeadlineSeconds"},
		},
		"NoRecipient": {
			reason: "encrypted for nobody cannot be read by anybody", spec: beside(`encryption: {age: {recipients: []}}`),
			want: invalid, holds: []string{"Spec.encryption.age.recipients"},
		},
		"RecipientIsAnIdentity": {
			reason: "somebody may paste the private key: a condition is no place for it",
			spec:   beside(`encryption: {age: {recipients: [` + recipient + `, ` + identity + `]}}`),
			want:   invalid, holds: []string{"Spec.encryption.age.recipients", "entry 2"}, lack: []string{identity, identity[:20], recipient},
		},
		"RecipientMalformed": {
			reason: "one letter is wrong", spec: beside(`encryption: {age: {recipients: [` + strings.Replace(recipient, "3z7", "3z8", 1) + `]}}`),
			want: invalid, holds: []string{"entry 1"}, lack: []string{"3z8"},
		},
		"RecipientsMixed": {
			reason: "age refuses it, which the Job would find out", spec: beside(`encryption: {age: {recipients: [` + recipient + `, ` + hybrid() + `]}}`),
			want: invalid, holds: []string{"hybrid recipients (age1pq1...) stand beside others"},
		},
		"RecipientOfSSH": {
			reason: "likewise", spec: beside(`encryption: {age: {recipients: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7]}}`),
			want: invalid, holds: []string{"entry 1 is an SSH public key"},
		},
	}
}
