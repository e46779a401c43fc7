# `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION  ?= v0.1.0
REGISTRY ?= localhost/threescale-backup

GO       ?= go
GENERATE  = $(GO) tool -modfile=test/tools/generate/go.mod
LINT      = $(GO) tool -modfile=test/tools/lint/go.mod
# A cache of its own: what one checkout found would be shown in another by the other's paths.
export GOLANGCI_LINT_CACHE ?= $(CURDIR)/build/golangci-lint
GOBUILD   = CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w'

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

.PHONY: image
image: build ## Build the images of function and controller with buildah (REGISTRY=, VERSION=).
	buildah bud --isolation chroot --target function --tag $(REGISTRY)/function:$(VERSION) .
	buildah bud --isolation chroot --target controller --tag $(REGISTRY)/controller:$(VERSION) .

##@ Develop

.PHONY: test
test: ## Run all tests that need neither root nor a cluster.
	$(GO) test -race ./...
	$(GO) test -run TestTenYears ./fn/compose # of which the race detector sees only one
	$(GO) -C test/tools/generate test ./...

.PHONY: lint
lint: ## Run the linters.
	$(LINT) golangci-lint run --allow-parallel-runners ./...

.PHONY: fmt
fmt: ## Format the code.
	$(LINT) golangci-lint fmt ./...

.PHONY: generate
generate: ## Generate deep copies, XRDs, CRDs, the API's reference and the README's reasons from the Go types.
	@crds=$$(mktemp -d) && trap 'rm -rf "$$crds"' EXIT && \
	$(GENERATE) controller-gen object paths=./fn/api/... && \
	$(GENERATE) controller-gen crd paths=./fn/api/v1alpha1 output:crd:dir="$$crds" && \
	$(GO) -C test/tools/generate run . -crds "$$crds" -root "$(CURDIR)"

.PHONY: verify
verify: generate ## Fail if `make generate` changes anything.
	@git diff --exit-code -- fn manifests package README.md || (echo 'error: run make generate and commit the result' >&2; exit 1)

.PHONY: peers
peers: ## Build Kubernetes, etcd, Crossplane, crank, Flux and kube-state-metrics for the tests, once.
	$(GO) run ./test/peers/build

.PHONY: render
render: ## Render all examples with the real `crossplane render`.
	$(GO) test -count=1 -tags render ./test/render/...

.PHONY: e2e
e2e: ## Run the end-to-end tests on a real cluster (Linux, root, containerd).
	$(GO) test -count=1 -p 1 -timeout 60m -tags e2e -v ./test/cluster/... ./test/e2e/...

.PHONY: bench
bench: ## Print the figures: the mover against rsync, a restore's commit against git, and one call of the function.
	$(GO) test -run '^$$' -bench RunFunction -benchmem ./fn/function/...
	$(GO) test -count=1 -timeout 60m -tags bench -v -run TestAgainst ./test/bench/...
