# What a person types. Everything else is in README.md.

export CGO_ENABLED = 0

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS  = -s -w -X main.version=$(VERSION)
GOFILES  = $(shell git ls-files '*.go' 2>/dev/null)

.PHONY: build run test check race fmt clean

build: ## bin/nvr, static
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/nvr ./cmd/nvr

run: build ## four simulated cameras are recorded into ./demo; Ctrl-C ends it
	@./bin/nvr demo --dir demo || [ $$? -eq 130 ]

test: ## all tests
	go vet ./...
	$(MAKE) --no-print-directory race

# The race detector needs cgo; without a C compiler the tests run without it.
race:
	@if command -v "$$(go env CC)" >/dev/null 2>&1; then \
		echo 'CGO_ENABLED=1 go test -race -timeout 20m ./...'; CGO_ENABLED=1 go test -race -timeout 20m ./...; \
	else \
		echo 'no C compiler, so without the race detector'; go test -timeout 20m ./...; \
	fi

check: ## everything that must hold before a change goes in
	@unformatted=$$(gofmt -l $(GOFILES)); if [ -n "$$unformatted" ]; then echo "gofmt these:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go tool -modfile=tools/go.mod staticcheck ./...
	cd tools && go run ./doclinks ..
	$(MAKE) --no-print-directory race

clean:
	rm -rf bin demo

# Power cuts, sick disks, kills: rigs/faults and internal/store/crashtest. Root
# and the tools of Debian's mount, e2fsprogs and xfsprogs. Flags: make crash CRASH='-cut 1000 -blk 200'
.PHONY: rigs crash mutants eio kill

rigs:
	go -C rigs/faults vet ./...
	go -C rigs/faults test ./campaign
	go -C rigs/faults build -o ../../bin/rigs/ ./faults ./campaign

crash: rigs ## nothing acknowledged is lost, nothing damaged is served, after any power cut
	bin/rigs/campaign crash $(CRASH)

mutants: rigs ## the same with one rule of the store taken out at a time: it must be missed
	bin/rigs/campaign mutants $(CRASH)

eio: rigs ## one EIO at the n-th block write, n = 1 to 100
	bin/rigs/campaign eio $(CRASH)

kill: rigs ## kill -9, 200 times
	bin/rigs/campaign kill $(CRASH)

.PHONY: away
away: ## a disk vanishes for 60 s under 16 cameras, eight ways; root, 4 GB of memory, about 12 minutes
	NVR_E2E=long go test -count=1 -timeout 30m -v -run TestDiskGoesAway ./e2e

# What recording asks of a hard disk: rigs/hdd. Root, e2fsprogs, xfsprogs, ffmpeg; about 11 minutes, 4 GB of room
# under bin. Flags: make hdd HDD='--fs xfs --secs 20'
.PHONY: hdd hdd-compare

hdd: build ## the recorder on a modelled disk, ext4 and xfs: how busy the heads are
	python3 -B rigs/hdd/product.py --nvr bin/nvr --scratch bin/hdd --out bin/hdd.md $(HDD)

hdd-compare: ## other ways to record on the same disk, without the recorder
	python3 -B rigs/hdd/compare.py --scratch bin/hdd $(HDD)

.PHONY: bitrot
bitrot: ## 1,000 bits flip in a sealed pool: all are found, each costs one record at most
	NVR_BIT_FLIPS=1000 go test -count=1 -v -run TestBitRot ./internal/store

# Flags: make start START='-pools 1000 -keep'. About 10 minutes; strace; 15 GB of room under bin.
.PHONY: start
start: build ## what a start costs in a ring of 10 TB: reads, time, memory
	go run ./internal/store/starttest $(START)

.PHONY: cameras
cameras: ## every bad manner of cameras that we know of, and what the recorder makes of it
	@cd internal/ingest && go test -count=1 -run '^TestCameras$$' -table
