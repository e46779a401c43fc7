#!/usr/bin/env bash
# The way from a claim to a verified backup, and from there to a commit that Flux
# applies, with no cluster: the function's own answer is applied to an API server
# in memory, the composed Job's own command line runs on directories, and git, age
# and the library of SOPS are the real ones. The object store is one in memory, spoken to by
# HTTP. Databases are shown where PostgreSQL or Redis is installed. Everything is made up,
# the keys too, and removed at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."

dir=$(mktemp -d)
source test/demo/databases.sh
trap 'stop_servers; rm -rf "$dir"' EXIT

run() { printf '\n$ %s\n' "$*"; "$@"; }

echo "Building and making up an installation: 3,000 files for 10 tenants, 18 Secrets, 3 ConfigMaps ..."
go build -o "$dir/bin/" ./fn/cmd/threescale-backup ./test/dataset/generate ./test/demo/kustomized ./test/demo/decrypted ./test/demo/objectstore \
  filippo.io/age/cmd/age-keygen
"$dir/bin/generate" -set M -seed 1 -out "$dir/files" -manifests "$dir/installation" >/dev/null
cp test/demo/claim.yaml "$dir"
PATH="$dir/bin:$PATH"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_PAGER=cat
cd "$dir"

run cat claim.yaml
run threescale-backup simulate claim.yaml --objects installation \
  --directory system-storage=files --directory nightly-backup=volume

echo; echo "# Files more, one hidden, a link, an empty directory; and again: what did not change is not stored again."
mkdir -p files/tenant-new/empty && echo hello >files/tenant-new/index.html && echo deny >files/.htaccess && ln -s tenant-new files/newest
run threescale-backup simulate claim.yaml --objects installation \
  --directory system-storage=files --directory nightly-backup=volume -o json >/dev/null
run threescale-backup list --volume volume

echo; echo "# Proven by our own reader, and without our software."
run threescale-backup verify --volume volume
run bash -c 'cd volume/latest && sha256sum --quiet -c SHA256SUMS && cd "$(readlink -f system-filestorage-pvc)/.." && sha256sum --quiet -c SHA256SUMS && echo sha256sum: OK'

echo; echo "# A copy in an object store. Again, only what is new would be sent; here, nothing is."
objectstore -bucket backups -url url &
servers+=($!)
for _ in {1..100}; do [ -e url ] && break; sleep 0.1; done
for name in "${!AWS_@}"; do unset "$name"; done
AWS_ENDPOINT_URL=$(<url)
export AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo
run threescale-backup copy --from volume --to s3://backups/prod/3scale
run threescale-backup copy --from volume --to s3://backups/prod/3scale
run threescale-backup verify --all --volume s3://backups/prod/3scale
run threescale-backup copy --from s3://backups/prod/3scale --to volume-of-copies
run diff -r --no-dereference volume/latest/system-filestorage-pvc/ volume-of-copies/latest/system-filestorage-pvc/

echo; echo "# The cluster is lost. There are a key of Flux, and a repository that says for whom Secrets are encrypted."
mkdir keys
run age-keygen -o keys/flux.agekey
run git init --quiet --initial-branch=main repository
cat >repository/.sops.yaml <<EOF
creation_rules:
- encrypted_regex: ^(data|stringData)$
  age: $(age-keygen -y keys/flux.agekey)
EOF
run cat repository/.sops.yaml
run git -C repository add .sops.yaml
run git -C repository -c user.name=demo -c user.email=demo@localhost commit --quiet --message "Secrets are encrypted for Flux"

echo; echo "# One command brings the files back and makes one commit, for another namespace and another domain."
restore=(threescale-backup restore --volume volume --namespace 3scale-dr --name dr --wildcard-domain apps.dr.example
  --repository repository --path apps/3scale --file-storage restored)
run "${restore[@]}"
run git -C repository show --stat=100 HEAD

echo; echo "# The files are those that were backed up: contents; names, types, modes, times, links, empty directories."
run diff -r --no-dereference files restored
run bash -c 'diff <(cd files && find . -printf "%P %y %m %T@ %l\n" | sort) <(cd restored && find . -printf "%P %y %m %T@ %l\n" | sort) && echo equal'

echo; echo "# What Flux builds of the commit, and a Secret as it is committed. SOPS reads them, with this key only."
run kustomized repository/apps/3scale/overlays/dr
run git -C repository show HEAD:apps/3scale/base/dr/secret-zync.yaml
run decrypted keys/flux.agekey repository/apps/3scale/base/dr/secret-*
age-keygen -o keys/another.agekey 2>/dev/null
run bash -c '! decrypted keys/another.agekey repository/apps/3scale/base/dr/secret-zync.yaml && echo refused'

echo; echo "# The same again makes no second commit."
run "${restore[@]}" -o json | grep -E '^$|^\$|"(commit|committed|writtenFiles)"'

echo; echo "# If the volume is lost, too, the bucket is enough. It is the same restore, so that again there is no second commit."
from_bucket=("${restore[@]/#volume/s3://backups/prod/3scale}")
run "${from_bucket[@]/%restored/restored-from-bucket}" -o json | grep -E '^$|^\$|"(commit|committed|writtenFiles)"'
run diff -r --no-dereference files restored-from-bucket

find_databases
if [ ${#databases[@]} -eq 0 ]; then
  echo; echo "# Databases go into the same run, too. That is not shown here: neither PostgreSQL nor Redis is installed."
else
  echo; echo "# Databases go into the same run. Here are ${databases[*]}, on servers that the demo has started."
  start_databases
  run tail -n $((${#databases[@]} + 1)) with-databases.yaml
  run threescale-backup simulate with-databases.yaml --objects installation \
    --directory system-storage=files --directory nightly-backup=volume
  run threescale-backup list --volume volume
  show_databases | tee contents

  echo; echo "# They are lost, and loaded again from the run."
  lose_databases
  run threescale-backup load --volume volume --databases "$(IFS=,; echo "${databases[*]}")" --objects installation --yes
  show_databases | tee contents-loaded
  run diff contents contents-loaded
fi

echo; echo "# Somebody flips one bit. It is found, and nothing is restored of it."
head=$(git -C repository rev-parse HEAD)
victim=$(find -L volume/latest/system-filestorage-pvc -name '*.png' -print -quit)
printf '\x00' | dd of="$victim" bs=1 seek=64 conv=notrunc status=none
run threescale-backup verify --volume volume && { echo "the damage was not found" >&2; exit 1; } || test $? -eq 65
run threescale-backup restore --volume volume --namespace 3scale-dr --repository repository --file-storage elsewhere &&
  { echo "the damage was not found" >&2; exit 1; } || test $? -eq 65
test ! -e elsewhere
test "$head" = "$(git -C repository rev-parse HEAD)"
echo; echo "Demo passed"
