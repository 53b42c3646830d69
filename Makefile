# alertd. `make` alone says what there is to do.

BIN     := alertd
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
TOOLS   := go tool -modfile=$(CURDIR)/tools/go.mod
SEEDS   ?= 200
TIME    ?= 30s
CHAOS_SECONDS ?= 120

.DEFAULT_GOAL := help

help: ## Say what there is to do
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build ./alertd
	go build -trimpath -ldflags "-X main.version=$(VERSION)" -o $(BIN) ./cmd/alertd

run: build ## Build and start the daemon on its defaults, ready to receive
	./$(BIN) serve

demo: build ## Start the daemon with a synthetic shop of five services, one of which breaks
	./$(BIN) demo

test: lint ## Check and test everything, with the race detector, end to end on the real binary
	go test -race -timeout 20m ./...
	go test -timeout 20m -run '^TestSimulation$$' ./engine
	cd conformance && go test -race ./...

quick: ## Test without the race detector and without the end-to-end scripts
	go test -short ./...

sim: ## Simulate the engine with many seeds: make sim SEEDS=10000
	SEEDS=$(SEEDS) go test -count=1 -timeout 60m -run 'TestSimulation' ./engine

chaos: ## Kill, stop and cut off the daemon at random while alerts come and go: make chaos CHAOS_SECONDS=300
	CHAOS_SECONDS=$(CHAOS_SECONDS) go test -count=1 -timeout 40m -v -run '^TestChaos' ./e2e

fuzz: ## Fuzz every parser for a while each: make fuzz TIME=5m
	@grep -rlE '^func Fuzz' --include=*_test.go . | while read -r file; do \
		grep -oE '^func Fuzz[A-Za-z0-9_]*' "$$file" | cut -d' ' -f2 | while read -r name; do \
			echo "== $$name ($$(dirname "$$file"))"; \
			(cd "$$(dirname "$$file")" && go test -run '^$$' -fuzz "^$$name$$" -fuzztime $(TIME) .) || exit 1; \
		done || exit 1; \
	done

bench: ## Measure latency and throughput on the real binary; prints a table and writes bench.json
	go run ./bench -json bench.json

micro: ## Run the packages' own benchmarks
	go test -run '^$$' -bench . -benchmem ./...

cost: ## Measure what a sample costs, by rules and number of series (a part of make bench)
	go run ./bench -json '' -run '^(cost|load rules)$$'

lint: ## gofumpt, go vet, staticcheck, go fix
	@out="$$($(TOOLS) gofumpt -l .)"; if [ -n "$$out" ]; then echo "not formatted, type make fmt:"; echo "$$out"; exit 1; fi
	go vet ./...
	cd conformance && go vet ./...
	$(TOOLS) staticcheck ./...
	@out="$$(go fix -diff ./... 2>&1)"; if [ -n "$$out" ]; then echo "$$out"; echo "old ways of saying things, type go fix ./..."; exit 1; fi

fmt: ## Format the code
	$(TOOLS) gofumpt -w .

cover: ## Print how much of each package its tests run
	go test -short -cover ./...

deps: build ## Print the modules that reach the binary, and its size
	@go version -m $(BIN) | awk '$$1 == "dep" { print $$2, $$3 }'
	@ls -l $(BIN) | awk '{ printf "%.1f MB\n", $$5 / 1e6 }'

clean: ## Remove what make built
	rm -f $(BIN) bench.json

.PHONY: help build run demo test quick sim chaos fuzz bench micro cost lint fmt cover deps clean
