# `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION  ?= v0.1.0
REGISTRY ?= 127.0.0.1:5000/backup

GO       ?= go
# One set of flags for tests, tools and images, so that each finds in Go's cache what another has compiled. (The race detector needs
# cgo, and compiles everything in another way.)
export CGO_ENABLED := 0
export GOFLAGS     := $(filter-out -trimpath,$(shell $(GO) env GOFLAGS)) -trimpath
GENERATE  = $(GO) tool -modfile=test/tools/generate/go.mod
LINT      = $(GO) tool -modfile=test/tools/lint/go.mod
# Each checkout has its own cache: a shared one would report findings with the paths of another checkout.
export GOLANGCI_LINT_CACHE ?= $(CURDIR)/build/golangci-lint
# Builds are reproducible: the same source, version and Go give the same bytes in any folder, with or without git, whatever processor `go env` names.
GOBUILD   = GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT= $(GO) build -buildvcs=false -ldflags '-s -w -X threescale.dev/backup/fn/cmd/internal/version.version=$(VERSION)'
RELEASE   = $(GO) run ./package/build --registry '$(REGISTRY)' --version '$(VERSION)'

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Use

.PHONY: demo
demo: ## Back up and restore made-up data on this machine, with no cluster; takes seconds.
	@test/demo/demo.sh

.PHONY: build
build: ## Build the binaries into bin/.
	$(GOBUILD) -o bin/ ./fn/cmd/...

.PHONY: binaries
binaries: ## Build the binaries of the images into build/bin/, for amd64 and arm64.
	@for architecture in amd64 arm64; do \
	  GOOS=linux GOARCH=$$architecture $(GOBUILD) -o build/bin/linux-$$architecture/ ./fn/cmd/function ./fn/cmd/mover ./fn/cmd/controller || exit 1; \
	done

.PHONY: image
image: binaries ## Make the images of function and controller for amd64 and arm64, with their SBOMs, in build/.
	$(RELEASE) image

.PHONY: package
package: binaries ## Make the Crossplane packages: the function, and a configuration for each flavour (REGISTRY=, VERSION=).
	$(RELEASE) package

.PHONY: push
push: binaries ## Push packages, the controller's image and SBOMs to REGISTRY=, as VERSION=.
	$(RELEASE) push

##@ Develop

.PHONY: test
test: ## Run all tests that need neither root nor a cluster.
	$(GO) test ./...
	$(GO) -C test/tools/generate test ./...

# What these tests do in other processes, again and again, the others do too.
REPEATING = '^Test(Killed|PowerCut|FailingSystemCalls|FlippedBits|FlippedBitsOfMany|AlteredFiles|HostileServers|HostileFiles|ManyFiles|ManyRuns.*|MonthOfMinutes)$$'

.PHONY: race
race: ## Run the same tests with the race detector, but for those that try many faults or measure load; takes three times as long.
	CGO_ENABLED=1 $(GO) test -race -timeout 40m -skip $(REPEATING) ./...

.PHONY: check-image
check-image: image package ## Check the images: their sizes, against what buildah makes of the Dockerfile, and that a copy of the source gives the same bytes.
	REGISTRY='$(REGISTRY)' VERSION='$(VERSION)' $(GO) test -count=1 -tags image -v -run 'TestMade|TestDockerfile' ./package/build

.PHONY: lint
lint: ## Run the linters.
	$(LINT) golangci-lint run --allow-parallel-runners ./...

.PHONY: fmt
fmt: ## Format the code.
	$(LINT) golangci-lint fmt ./...

.PHONY: generate
generate: ## Generate deep copies, XRDs, CRDs, and the API's reference with the reasons from the Go types.
	@crds=$$(mktemp -d) && trap 'rm -rf "$$crds"' EXIT && \
	$(GENERATE) controller-gen object paths=./fn/api/... && \
	$(GENERATE) controller-gen crd paths=./fn/api/v1alpha1 output:crd:dir="$$crds" && \
	$(GO) run ./test/tools/failures > "$$crds/failures.json" && \
	$(GO) -C test/tools/generate run . -crds "$$crds" -failures "$$crds/failures.json" -root "$(CURDIR)"

.PHONY: verify
verify: generate ## Fail if `make generate` changes anything.
	@git diff --exit-code -- fn manifests package || (echo 'error: run make generate and commit the result' >&2; exit 1)

.PHONY: peers
peers: ## Build Kubernetes, etcd, containerd, Crossplane, crank, Flux, kube-state-metrics, versitygw, SeaweedFS and the 3scale operator for the tests, once.
	$(GO) run ./test/peers/build

.PHONY: render
render: ## Render all examples with the real `crossplane render` and Crossplane's own engine; compare the packages with those of `crossplane xpkg`.
	$(GO) test -count=1 -tags render ./test/render/...
	$(GO) test -count=1 -tags render -run TestCrank ./package/build

.PHONY: e2e
e2e: ## Run the end-to-end tests on a real cluster (Linux, root, runc).
	$(GO) test -count=1 -tags e2e ./fn/archive/internal/s3/...
	$(GO) test -count=1 -tags e2e -run 'Copy|Fetch|Bucket|Owner|ObjectLock|Presence|Refused|Foreign' -skip 'Killed|Meddled' ./fn/archive/ ./fn/mover/
	$(GO) test -count=1 -p 1 -timeout 60m -tags e2e -v ./test/cluster/... ./test/byhand/... ./test/install/... ./test/e2e/...

.PHONY: e2e-oldest
e2e-oldest: ## Run a few of them on the oldest Kubernetes that the README promises.
	THREESCALE_BACKUP_KUBERNETES=1.29 $(GO) test -count=1 -timeout 20m -tags e2e -v ./test/e2e/...

# Each test of faults tries as many points, so many pairs of components are out at once, and each fuzz test takes that long on two processors.
PROVE    ?= 1000
PAIRS    ?= 30
FUZZTIME ?= 15m

.PHONY: prove
prove: prove-faults prove-volume prove-outages prove-load prove-fuzz ## Prove the promises: faults at PROVE= points, load, outages with PAIRS= pairs of them, then each parser for FUZZTIME= (Linux, root); takes hours.

.PHONY: prove-faults
prove-faults: ## Only the tests of faults: kills, power cuts, failing system calls, flipped bits. They print their counts.
	@set -o pipefail; THREESCALE_BACKUP_PROVE=$(PROVE) $(GO) test -count=1 -timeout 48h -v \
	  -run '^Test(Killed|FailingSystemCalls|PowerCut|FlippedBits.*|AlteredFiles|ReplayedRun)$$' ./fn/archive | grep -vE '^ *(=== |--- PASS: .*/point-)'

.PHONY: prove-volume
prove-volume: ## Only the tests of load on one volume: a million files, 10,000 runs, a month of runs a minute, 65,000 links. They print what it took.
	@set -o pipefail; THREESCALE_BACKUP_PROVE=$(PROVE) $(GO) test -count=1 -p 1 -timeout 48h -v \
	  -run '^Test(Many(Files|Runs.*|Links|Names)|MonthOfMinutes)$$' ./fn/archive ./fn/mover ./fn/cmd/mover | grep -vE '^ *(=== |--- PASS)'

.PHONY: prove-outages
prove-outages: ## Only the outages of each component on the real cluster, and PAIRS= pairs of them. They print their counts.
	THREESCALE_BACKUP_PROVE=$(PAIRS) $(GO) test -count=1 -timeout 12h -tags e2e -v -run '^TestOutages$$' ./test/e2e

.PHONY: prove-fuzz
prove-fuzz: ## Only the fuzz tests.
	@grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9]+' fn test | sort | while IFS=: read -r file function; do \
	  echo "$${function#func }" && $(GO) test -run '^$$' -fuzz "^$${function#func }\$$" -fuzztime $(FUZZTIME) -parallel 2 "./$$(dirname "$$file")" || exit 1; \
	done

.PHONY: prove-load
prove-load: ## Only the load on a real cluster: 500 backups, 100 restores at once, and a storm of changed Secrets.
	THREESCALE_BACKUP_PROVE=$(PROVE) $(GO) test -count=1 -timeout 2h -tags e2e -v -run '^Test(ManyClaims|ManyRestores|SecretStorm)$$' ./test/e2e

.PHONY: bench
bench: ## Print the figures: the mover beside rsync, cp, restic and kopia, copies to a bucket against restic and kopia, dumps against the clients, a restore's commit against git, calls of the function against function-auto-ready, and its start.
	$(GO) test -run '^$$' -bench RunFunction -benchmem ./fn/function/...
	$(GO) test -run '^$$' -bench Redis ./fn/database/...
	$(GO) test -p 1 -count=1 -timeout 12h -tags bench -v -run TestAgainst ./test/bench/... ./fn/database/...

.PHONY: bench-peers
bench-peers: ## Only the mover beside its peers, with M and XL or what THREESCALE_BACKUP_BENCH_SETS names (such as "L million"); draws tables and pictures.
	$(GO) test -count=1 -timeout 12h -tags bench -v -run TestAgainstPeers ./test/bench
