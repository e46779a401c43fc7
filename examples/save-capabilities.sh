#!/usr/bin/env bash
# Prints the capability custom resources of a namespace (kubectl, jq), and the Secrets that they refer to, as a list that can be applied again:
#   examples/save-capabilities.sh NAMESPACE > capabilities.json
#   kubectl -n NAMESPACE apply --server-side -f capabilities.json
# The list holds Secrets in plaintext. What acts again whenever it is made is left out: a ProxyConfigPromote promotes, also to production, and an
# ApplicationAuth pushes keys. So is system-seed, to which a Tenant refers: it is in the backup. Without owner references, since those lead to UIDs
# that are gone, upon which the garbage collector would delete what it had just been given.
set -euo pipefail
namespace=${1:?"usage: $0 NAMESPACE > capabilities.json"}
umask 077
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

kinds=$(kubectl api-resources --api-group=capabilities.3scale.net --verbs=list -o name | paste -sd,)
[ -n "$kinds" ] || { echo "error: this cluster has no resources of capabilities.3scale.net" >&2; exit 1; }
kubectl -n "$namespace" get "$kinds" -o json > "$dir/resources"

# Each Secret that a spec refers to, as name or namespace/name. Only Secrets are looked up by these fields.
jq -r --arg namespace "$namespace" '["threescale-provider-account"] + [.items[].spec | .. | objects | to_entries[]
  | select(.key | IN("providerAccountRef", "authSecretRef", "passwordCredentialsRef", "tenantSecretRef", "masterCredentialsRef", "secretRef", "issuerEndpointRef", "configurationRef"))
  | .value | select(type == "object" and (.name // "") != "")
  | if (.namespace // $namespace) == $namespace then .name else "\(.namespace)/\(.name)" end]
  | unique - ["system-seed"] | .[]' "$dir/resources" > "$dir/names"
sed -n '/\//s/^/not saved, since it is of another namespace: Secret /p' "$dir/names" >&2
mapfile -t names < <(grep -v / "$dir/names")
kubectl -n "$namespace" get secrets --ignore-not-found -o json "${names[@]}" > "$dir/secrets"
[ -s "$dir/secrets" ] || echo '{"items": []}' > "$dir/secrets"

jq -n --slurpfile resources "$dir/resources" --slurpfile secrets "$dir/secrets" '{apiVersion: "v1", kind: "List", items: (
  [$secrets[0] | (.items // [.])[]] + [$resources[0].items[] | select(.kind | IN("ProxyConfigPromote", "ApplicationAuth") | not)]
  | map(del(.status, .metadata.uid, .metadata.resourceVersion, .metadata.generation, .metadata.creationTimestamp, .metadata.deletionTimestamp,
      .metadata.deletionGracePeriodSeconds, .metadata.managedFields, .metadata.ownerReferences, .metadata.finalizers, .metadata.selfLink, .metadata.namespace,
      .metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"])))}' > "$dir/list"

# A Secret that is referred to and not there: what refers to it cannot work either, but the reader should know.
comm -23 <(printf '%s\n' "${names[@]}" | sort) <(jq -r '.items[] | select(.kind == "Secret").metadata.name' "$dir/list" | sort) \
  | sed -n '/^threescale-provider-account$/!s/^/not there, though something refers to it: Secret /p' >&2
cat "$dir/list"
