#!/usr/bin/env bash
# The way from a claim to a verified backup, with no cluster: the function's own
# answer is applied to an API server in memory, and the composed Job's own
# command line runs on directories. Everything is made up, and removed at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

run() { printf '\n$ %s\n' "$*"; "$@"; }

echo "Building and making up an installation: 3,000 files for 10 tenants, 13 Secrets, 2 ConfigMaps ..."
CGO_ENABLED=0 go build -o "$dir/bin/" ./fn/cmd/threescale-backup ./test/dataset/generate
"$dir/bin/generate" -set M -seed 1 -out "$dir/files" -manifests "$dir/installation" >/dev/null
cp test/demo/claim.yaml "$dir"
PATH="$dir/bin:$PATH"
cd "$dir"

run cat claim.yaml
run threescale-backup simulate claim.yaml --objects installation \
  --directory system-storage=files --directory nightly-backup=volume

echo; echo "# A file more, and again: what did not change is not stored again."
mkdir -p files/tenant-new && echo hello > files/tenant-new/index.html
run threescale-backup simulate claim.yaml --objects installation \
  --directory system-storage=files --directory nightly-backup=volume -o json >/dev/null
run threescale-backup list --volume volume

echo; echo "# Proven by our own reader, and without our software."
run threescale-backup verify --volume volume
run bash -c 'cd volume/latest && sha256sum --quiet -c SHA256SUMS && cd "$(readlink -f system-filestorage-pvc)/.." && sha256sum --quiet -c SHA256SUMS && echo sha256sum: OK'

echo; echo "# Somebody flips one bit."
victim=$(find -L volume/latest/system-filestorage-pvc -name '*.png' -print -quit)
printf '\x00' | dd of="$victim" bs=1 seek=64 conv=notrunc status=none
run threescale-backup verify --volume volume && { echo "the damage was not found" >&2; exit 1; } || test $? -eq 65
echo; echo "Demo passed"
