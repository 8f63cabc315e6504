# registryfs: `make help` lists the targets. Each makes sure of what it needs first.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PREFIX ?= /usr/local
SBINDIR ?= /sbin
SECONDS_EACH ?= 60
LIBDIR := $(PREFIX)/lib/registryfs

# Debian's names; scripts/ensure-packages.sh knows Ubuntu's.
BUILD_PACKAGES := g++ make python3 libzstd-dev
RUN_PACKAGES := libfuse2 fuse3
DEMO_PACKAGES := $(RUN_PACKAGES) qemu-utils e2fsprogs
CHECK_PACKAGES := clang-format zstd
FUZZ_PACKAGES := umoci clang libclang-rt-14-dev libzstd-dev zlib1g-dev libssl-dev zstd golang-1.19-src libpython3.11-testsuite
TEST_PACKAGES := $(DEMO_PACKAGES) docker-registry skopeo attr pigz libdeflate-tools tabix zopfli bzip2 nginx \
  tinyproxy openssl $(FUZZ_PACKAGES)
BENCH_PACKAGES := $(TEST_PACKAGES) nbdkit fio debootstrap pigz curl libdeflate-dev

NATIVE_SOURCES := $(wildcard native/*.cc native/*.h native/binding.gyp)
NATIVE_TESTS := $(wildcard test/native/*.cc test/native/*.h test/native/fuzz/*.cc)
SOURCES := $(shell find src test bench demo -name '*.ts' -not -path '*/.work/*' 2>/dev/null)

# What npm writes when it is done.
MODULES := node_modules/.package-lock.json
BIN := node_modules/.bin
ADDON := native/build/.built
COMPILED := build/.built
PROGRAM := build/registryfs.cjs
CODE := build/registryfs.code

.PHONY: help build check lint test soak fuzz sanitize bench bench-soak demo format install uninstall clean
.PHONY: node build-packages check-packages test-packages fuzz-packages bench-packages demo-packages

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  make demo IMAGE=REFERENCE                  the same with that image'
	@echo '  make test NODE_VERSION=26                  the tests under another Node, from the npm registry'
	@echo '  make install PREFIX=/usr/local DESTDIR= SBINDIR=/sbin'

build: $(ADDON) $(PROGRAM) $(CODE) ## leaves a bin/registryfs that runs from the checkout

check: build lint ## lint, types, format, layering test and unit tests
	$(WITH_NODE) scripts/run-tests.sh 2 300 test/unit

test: node test-packages check ## check, and everything with registries and mounts
	$(WITH_NODE) scripts/run-tests.sh 2 900 test/oracles test/mount test/native

fuzz: node fuzz-packages build ## a minute for each fuzzer of what reads hostile bytes; SECONDS_EACH=60
	scripts/fuzz.sh $(SECONDS_EACH)

sanitize: node fuzz-packages $(MODULES) ## the addon and its tests with AddressSanitizer, UndefinedBehaviorSanitizer, ThreadSanitizer
	scripts/test-native-sanitized.sh

soak: node build-packages build ## two minutes of a registry's faults and expiries, every byte checked
	SOAK_SECONDS=$${SOAK_SECONDS:-120} node --enable-source-maps --test --test-reporter=spec build/test/native/soak.test.js

bench: node bench-packages build ## times against the peers on the same registry, as a table
	node build/bench/main.js

bench-soak: node bench-packages build ## 20 minutes of readers of every kind, faults and moving tags; draws the daemon's memory
	node build/bench/soak.js

demo: node demo-packages build ## makes a small containerdisk, serves it, mounts it, converts it, compares
	@node build/demo/main.js $(IMAGE)

lint: check-packages $(COMPILED)
	$(BIN)/eslint .
	$(BIN)/prettier --check --log-level warn .
	@clang-format --dry-run -Werror $(filter %.cc %.h,$(NATIVE_SOURCES)) $(NATIVE_TESTS)

format: check-packages $(MODULES) ## prettier and clang-format, in place
	$(BIN)/prettier --write --log-level warn .
	@clang-format -i $(filter %.cc %.h,$(NATIVE_SOURCES)) $(NATIVE_TESTS)

install: build ## into PREFIX, and the mount helper into SBINDIR
	scripts/install.sh '$(DESTDIR)' '$(PREFIX)' '$(SBINDIR)'

uninstall: ## takes away what install put there
	rm -rf '$(DESTDIR)$(LIBDIR)'
	rm -f '$(DESTDIR)$(PREFIX)/bin/registryfs' '$(DESTDIR)$(SBINDIR)/mount.fuse.registryfs'

clean: ## removes everything that was built
	rm -rf build native/build bench/.work .deps

# Under another Node only the tests (and the programs that they start) run; building is done with the one at hand.
WITH_NODE = $(if $(NODE_VERSION),bin=$$(scripts/install-node.sh '$(NODE_VERSION)') && PATH=$$bin:$$PATH,)

$(MODULES): package.json package-lock.json | node
	npm ci
	touch $@

$(ADDON): $(NATIVE_SOURCES) $(MODULES) | node build-packages
	scripts/build-native.sh
	touch $@

# tsc believes its build info, also when the files that it stands for are gone.
$(COMPILED): $(SOURCES) tsconfig.json $(MODULES) | node
	test -f build/src/cli/main.js || rm -f build/tsconfig.tsbuildinfo
	$(BIN)/tsc
	touch $@

# One file: reading some 400 modules takes longer than all that `registryfs mount` does before it answers. (fuse-native
# finds its binary beside itself.) CommonJS, for V8's code of ES modules cannot be kept; ASCII, half as long in memory.
$(PROGRAM): $(COMPILED)
	$(BIN)/esbuild build/src/cli/main.js --bundle --platform=node --format=cjs --target=node20 --log-level=warning \
	  --external:fuse-native --minify-whitespace --line-limit=160 --charset=ascii --legal-comments=external --outfile=$@ \
	  --define:import.meta.url=programUrl \
	  --banner:js="'use strict'; const programUrl = require('node:url').pathToFileURL(__filename).href;"

$(CODE): $(PROGRAM) bin/registryfs scripts/make-code-cache.mjs
	node scripts/make-code-cache.mjs $(PROGRAM) $@

node:
	@scripts/check-node.sh

build-packages:
	@scripts/ensure-packages.sh $(BUILD_PACKAGES)

check-packages:
	@scripts/ensure-packages.sh $(BUILD_PACKAGES) $(CHECK_PACKAGES)

demo-packages:
	@scripts/ensure-packages.sh $(BUILD_PACKAGES) $(DEMO_PACKAGES)

test-packages:
	@scripts/ensure-packages.sh $(BUILD_PACKAGES) $(CHECK_PACKAGES) $(TEST_PACKAGES)

fuzz-packages:
	@scripts/ensure-packages.sh $(BUILD_PACKAGES) $(FUZZ_PACKAGES)

bench-packages:
	@scripts/ensure-packages.sh $(BUILD_PACKAGES) $(BENCH_PACKAGES)
