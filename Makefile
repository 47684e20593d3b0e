# The targets of kkeys. `make test` is the one command for everything; `make unit` needs Go, openssl and xz.

GO       ?= go
FUZZTIME ?= 20s
ARCHES   := 386 arm64 riscv64
SYSTEMS  := darwin windows freebsd

build: ## build ./bin/kkeys, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/kkeys ./cmd/kkeys

lab: ## fetch the parts of the Secure Boot machine (Debian packages; no root)
	$(GO) run ./internal/lab/fetch

unit: ## run the tests that need no machine
	$(GO) test ./...

check: ## formatting, vet, staticcheck, other architectures and systems
	@test -z "$$(gofmt -l .)" || { echo 'not formatted:'; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags lab ./...
	$(GO) tool staticcheck ./...
	$(GO) tool staticcheck -tags lab ./...
	set -e; for arch in $(ARCHES); do echo "GOARCH=$$arch"; \
	  GOARCH=$$arch CGO_ENABLED=0 $(GO) vet ./...; \
	  GOARCH=$$arch CGO_ENABLED=0 $(GO) build ./...; done
	set -e; for system in $(SYSTEMS); do echo "GOOS=$$system"; \
	  GOOS=$$system CGO_ENABLED=0 $(GO) vet ./cmd/kkeys; \
	  GOOS=$$system CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/kkeys; done

test: lab check ## run everything: the checks, and all tests with the Secure Boot machine
	$(GO) test -count=1 -tags lab -timeout 80m ./...

fuzz: ## run each fuzz target for FUZZTIME
	set -e; grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r file; do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$$file"); do \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$(dirname "$$file")"; done; done

bench: lab ## run the benchmarks; what they print are ratios taken in one run
	$(GO) test -tags lab -run '^$$' -bench . -timeout 60m ./...

record: lab ## boot the machines of testdata/machines and record them anew
	$(GO) test -count=1 -tags lab -timeout 20m -run '^TestRecordedMachines$$' ./cmd/kkeys -args -record

clean: ## remove what was built; the lab's cache stays
	rm -rf bin

help: ## show this
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

.PHONY: build lab unit check test fuzz bench record clean help
