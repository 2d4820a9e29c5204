# What you can do here: make help.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Tools have a module of their own: nothing of theirs is in go.mod.
TOOL := go tool -modfile=tools/go.mod
PGASIDE := go run -buildvcs=false ./cmd/pgaside

# A checkout that belongs to another user, as CI has it, can't be stamped with its
# version; tests that build the command need not care.
test cover bench bench-go proof sim sim-table soak: export GOFLAGS += -buildvcs=false

PKG ?= ./...
TESTFLAGS ?=
ARGS ?=
BENCH ?= .
COUNT ?= 6
ROUNDS ?= 9
FOR ?= 1h
SEED ?=
SEEDS ?= 100000
MUTANT ?=
RUN ?=

# Ten minutes show what grows; the other users of FOR are searches, which are never done.
soak: FOR := $(if $(filter environment,$(origin FOR)),$(FOR),10m)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install PostgreSQL and Redis if they are missing
	@scripts/setup

.PHONY: generate
generate: ## write repo/ (sqlc) and cached/ (pgaside) anew
	$(TOOL) sqlc generate
	$(PGASIDE) generate
	$(TOOL) sqlc generate -f integration/peers/sqlc.yaml
	$(PGASIDE) generate --config integration/peers/sqlc.yaml

.PHONY: build
build: ## build bin/pgaside
	go build -o bin/pgaside ./cmd/pgaside

.PHONY: demo
demo: setup ## see it work on real servers; flags in ARGS: make demo ARGS='--scale 0.05'
	@$(PGASIDE) demo $(ARGS)

.PHONY: test
test: setup verify ## everything: verify, then all tests on real servers with the race detector
	go test -race -timeout 20m $(TESTFLAGS) $(PKG)
	$(if $(filter ./...,$(PKG)),cd integration/peers && go test -race -timeout 10m $(TESTFLAGS) .)

.PHONY: proof
proof: setup ## random projects against real servers for hours: FOR=<time> SEED=<number to repeat>
	PGASIDE_TEST_FOR=$(FOR) PGASIDE_TEST_SEED=$(SEED) go test -run 'TestGeneratedDecoratorNeverStale|TestDerivedKeysCoverEveryChange' \
		-v -timeout 0 ./integration

.PHONY: faults
faults: FOR = 18m
faults: setup ## break Redis, Postgres, network and processes, and check every read: FOR=<time> SEED=<number> ARGS='--only redis'
	@$(PGASIDE) faults --for $(FOR) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: fuzz
fuzz: ## look for input that breaks something: FOR=<time for each target>, make fuzz FOR=30s
	@for pkg in ./cache ./cache/httpcache ./cached ./internal/gen ./internal/gen/codingtest; do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FOR) $$pkg; \
		done; \
	done

.PHONY: sim
sim: ## the engine and pgfence in simulated schedules, and its mutants: SEEDS=<how many> SEED=<one to repeat>
	PGASIDE_SIM_SEEDS=$(SEEDS) PGASIDE_SIM_SEED=$(SEED) go test -v -count 1 -timeout 0 ./integration/sim

.PHONY: sim-table
sim-table: ## search anew for the seeds that catch the mutants, or one MUTANT=<name>; prints the rows of docs/mutations.md
	@rows=$$(mktemp) && PGASIDE_SIM_TABLE=$$rows PGASIDE_SIM_MUTANT=$(MUTANT) go test -count 1 -run '^TestMutants$$' -timeout 0 ./integration/sim >&2 && cat $$rows

.PHONY: soak
soak: setup ## load: 10,000 goroutines, overload, and a process that must not grow for FOR=<time>
	PGASIDE_TEST_FOR=$(FOR) go test -v -count 1 -timeout 0 -run '^(TestTenThousandGoroutines|TestOverload|TestSoak)$$' ./integration

.PHONY: model
model: ## search all interleavings of the protocol's model with Spin: docs/model; RUN=<its runs> for some
	@scripts/model $(RUN)

.PHONY: test-unit
test-unit: ## the tests that need no server
	go test $(TESTFLAGS) ./cache ./cache/httpcache ./cached ./internal/gen/...

.PHONY: test-docker
test-docker: ## an integration test on containers; builds its image, needs no registry
	@scripts/test-docker $(TESTFLAGS)

.PHONY: cover
cover: setup ## all tests, with the coverage of each package; cover.out for go tool cover
	go test -race -timeout 20m -coverprofile=cover.out -coverpkg=./... $(PKG)
	go tool cover -func=cover.out | tail -n 1

.PHONY: bench
bench: setup ## beside other libraries, written to docs/benchmarks: BENCH=<regexp of parts> ROUNDS=<of each>
	cd integration/peers && go run -tags peers_all . --out ../../docs/benchmarks --part '$(BENCH)' --rounds $(ROUNDS) \
		--commit "$$(git rev-parse --short HEAD 2>/dev/null || true)"

.PHONY: bench-go
bench-go: setup ## the Go benchmarks: BENCH=<regexp> COUNT=<runs>
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -timeout 60m ./integration ./cached

.PHONY: verify
verify: ## what is generated is fresh, modules are tidy, lint and format are clean
	$(TOOL) sqlc diff
	$(PGASIDE) check
	$(TOOL) sqlc diff -f integration/peers/sqlc.yaml
	$(PGASIDE) check --config integration/peers/sqlc.yaml
	go mod tidy -diff
	cd integration/peers && go mod tidy -diff
	$(TOOL) golangci-lint run
	cd integration/peers && go tool -modfile=../../tools/go.mod golangci-lint run

.PHONY: fmt
fmt: ## format the code
	$(TOOL) gofumpt -w $$(git ls-files '*.go' ':!repo/' ':!cached/' ':!integration/peers/repo/' ':!integration/peers/cached/' ':!*/testdata/*')

.PHONY: vuln
vuln: ## look for known vulnerabilities in what is really called
	$(TOOL) govulncheck ./...

.PHONY: up
up: ## start PostgreSQL and Redis for development and print their addresses
	@scripts/servers up

.PHONY: down
down: ## stop them
	@scripts/servers down

.PHONY: status
status: ## do they run, and where
	@scripts/servers status
