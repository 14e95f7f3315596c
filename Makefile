# make demo   installs what is missing, builds, and lets you talk to the demonstration model
# make test   runs every test
# make bench  runs the benchmarks, on the demonstration model or MODEL=NAME.moe, and compares them with their thresholds
# make fuzz   feeds the parsers changed files for hours, FUZZ_COUNT to each
.PHONY: demo test bench fuzz build static install venv dependencies test-dependencies format lint clean
.NOTPARALLEL:
.DEFAULT_GOAL := build

PREFIX ?= /usr/local
DESTDIR ?=

# The tests are built by `swift build`, too: `swift test` would compile everything anew, with testability.
SWIFT_FLAGS := -c release
SOURCES := Sources Benchmarks Tests quantize Package.swift
BINARIES := moed moectl moe-quantize
STATIC := .build/static
# They hold answers to limits of time: they run after those that keep every core busy.
TIMED_TESTS := ^(GenerationTests|ModelTests|MoectlTests|ServingTests|TokenizerTests)\.

demo: dependencies build
	@packaging/demo.sh

build:
	swift build $(SWIFT_FLAGS)

test: dependencies test-dependencies build static venv
	swift build $(SWIFT_FLAGS) --build-tests
	.ci/neon
	Tests/SystemdTests/run
	swift test $(SWIFT_FLAGS) --skip-build --skip '$(TIMED_TESTS)'
	swift test $(SWIFT_FLAGS) --skip-build --filter '$(TIMED_TESTS)'

# A new seed in each run; a failure names it and the input's number, and FUZZ_SEED repeats it.
FUZZ_COUNT ?= 20000000
fuzz: dependencies
	swift build $(SWIFT_FLAGS) --build-tests
	FUZZ_COUNT=$(FUZZ_COUNT) FUZZ_SEED=$${FUZZ_SEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')} \
		swift test $(SWIFT_FLAGS) --skip-build --filter FuzzTests.ParserFuzzTests

MODEL ?= .build/demo/fable.moe
bench: dependencies build $(MODEL)
	.build/release/kernel-benchmark
	.build/release/room-benchmarks $(MODEL)

.build/demo/fable.moe:
	@mkdir -p $(@D)
	.build/release/moe-quantize convert packaging/demo -o $@

dependencies:
	@packaging/install-dependencies

test-dependencies:
	@packaging/install-dependencies --test

# The openai client that the server's tests use.
venv: .build/venv/installed
.build/venv/installed: Tests/python/requirements.txt
	python3 -m venv .build/venv
	.build/venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

# For machines without Swift: its libraries are linked in. A scratch path of its own, because the flag would otherwise
# recompile everything back and forth.
static:
	swift build $(SWIFT_FLAGS) --static-swift-stdlib --scratch-path $(STATIC)

# As root there may be no Swift in PATH: then what `make static` built is installed.
install:
	@if command -v swift >/dev/null; then $(MAKE) --no-print-directory static; fi
	@test -x $(STATIC)/release/moed || { echo "make install: build first, with: make static" >&2; exit 1; }
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)/etc/moed
	install -s -m 755 $(BINARIES:%=$(STATIC)/release/%) $(DESTDIR)$(PREFIX)/bin/
	install -D -m 644 packaging/moed.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/moed.conf
	install -D -m 644 packaging/moed.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/moed.conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/moed README.md LICENSE packaging/moed.env
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	for unit in moed.socket moed.service moed-proxy.socket moed-proxy.service; do \
		sed -e 's#/usr/bin/moed#$(PREFIX)/bin/moed#' -e 's#/usr/share/doc/#$(PREFIX)/share/doc/#' \
			packaging/$$unit >$(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit; \
		chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit; \
	done
	test -e $(DESTDIR)/etc/moed/moed.env || install -m 644 packaging/moed.env $(DESTDIR)/etc/moed/moed.env

format:
	swift format --in-place --recursive $(SOURCES)

lint:
	swift format lint --strict --recursive $(SOURCES)

clean:
	rm -rf .build
