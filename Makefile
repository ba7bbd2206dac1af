# What people type. Each target works from a fresh checkout; JOBS=N limits how much runs at a time.
JOBS ?= $(shell nproc)
WEB_SOURCES := $(shell find web/src web/public web/index.html web/package-lock.json web/vite.config.ts -type f 2>/dev/null)

.PHONY: help build test test-fast lint format bench demo clean setup

help:
	@echo 'make build      the program: build/release/pgweir'
	@echo 'make demo       see it work on a PostgreSQL of its own (CHECK=1: check itself and end)'
	@echo 'make test       every test; the last line counts them'
	@echo 'make test-fast  the part of under a minute'
	@echo 'make lint       format, clang-tidy, layers, types      make format  puts the format right'
	@echo 'make bench      measures (ONLY=capture,...)             make clean   removes what was built'

setup:
	@tools/setup.sh build

build: setup web/dist/index.html
	@cmake --preset release >/dev/null
	@cmake --build --preset release --target pgweir -j $(JOBS)
	@echo 'built: build/release/pgweir'

web/dist/index.html: web/node_modules/.pgweir-lock $(WEB_SOURCES)
	@cd web && npm run --silent build
	@touch $@

# Made by tools/setup.sh.
web/node_modules/.pgweir-lock: web/package-lock.json
	@tools/setup.sh build

test:
	@tools/setup.sh test
	@python3 tools/run_tests.py --jobs $(JOBS) $(if $(ONLY),--only $(ONLY))

test-fast:
	@tools/setup.sh server
	@python3 tools/run_tests.py --fast --jobs $(JOBS)

lint:
	@tools/setup.sh lint
	@cmake --preset dev >/dev/null
	@python3 tools/lint.py --jobs $(JOBS)

format:
	@python3 tools/lint.py --fix

# The views are measured beside Flink and Spark, which the other groups do without.
bench: build
	@tools/setup.sh $(if $(ONLY),$(if $(findstring views,$(ONLY)),peers,server),peers)
	@python3 bench/run.py --jobs $(JOBS) $(if $(ONLY),--only $(ONLY)) $(if $(RUNS),--runs $(RUNS))

demo: build
	@tools/setup.sh server
	@python3 tools/demo.py build/release/pgweir $(if $(CHECK),--check)

# What was fetched, .deps and web/node_modules, stays: cleaning needs no network afterwards.
clean:
	rm -rf build web/dist
