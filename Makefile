# A fresh machine needs make and a Python of 3.11 or newer, nothing else.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test browser azurite postgres check check-versions soak poison chaos bench docs install-check lock clean

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROCESSES ?= 2

# the first Python that is new enough and can make a virtual environment
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
NEEDS_PYTHON = @test -n "$(PYTHON)" || { \
	echo 'No Python of 3.11 or newer with venv was found (on Debian and Ubuntu: apt install python3-venv).'; \
	echo 'Name one: make PYTHON=/path/to/python3'; exit 1; }
PYTEST = $(BIN)/python -m pytest -n $(PROCESSES) --dist loadgroup

help: ## Show this help
	@echo 'make TARGET, where TARGET is one of'
	@sed -n 's/^\([a-z-]*\):.*## /  \1	/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(READY) ## See oqkit at work: 336,776 flights, four worker processes, no bucket
	@$(BIN)/python -m oqkit.demo

# Tests of servers and processes wait for most of their time: more of them than there are cores share it.
test: PROCESSES = 5
test: $(READY) browser azurite postgres ## Run all tests; screenshots of the notebook display go to build/screenshots
	@$(PYTEST)

# The notebook display is tested in a real browser where there is one or it can be installed.
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
		test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo 'Installing Chromium for the notebook tests.' && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium \
		>/dev/null; } || echo 'There is no Chromium, and none can be installed here: the browser tests are left out.'

# The store on Azure is tested with Microsoft's emulator, an npm package: 20 seconds the first time.
AZURITE := 3.37.0
azurite: $(READY)
	@test -x $(BIN)/azurite-blob || { command -v npm >/dev/null && echo 'Installing Azurite for the tests of Azure.' && \
		npm install --global --prefix $(VENV) --silent --no-audit --no-fund --omit=optional --ignore-scripts \
		azurite@$(AZURITE) >/dev/null; } || echo 'There is no npm, or it could not install Azurite: the tests of Azure are left out.'

# The outbox is tested on a real PostgreSQL, which a test starts, where there is one or it can be installed.
postgres:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { \
		test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo 'Installing PostgreSQL for the tests of the outbox.' && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql \
		>/dev/null; } || echo 'There is no PostgreSQL, and none can be installed here: the outbox is tested on SQLite alone.'

check: $(READY) ## Check style, types and the direction of imports, and run the fast tests
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m mypy --strict oqkit
	@$(BIN)/python $(BIN)/lint-imports --no-logo
	@$(PYTEST) -m 'not server and not slow'

check-versions: $(READY) ## Run the tests that a Python or a library can change with other releases; ONLY=lowest for one of newest, pandas2, lowest, next
	@$(BIN)/python tests/version_check.py --processes $(PROCESSES) $(if $(ONLY),--only $(ONLY))

SEEDS ?= 0:20500
COMMIT = --commit "$$(git rev-parse --short HEAD 2>/dev/null)"
BIG := OQ_RATE_MINUTES=5 OQ_FUZZ_DOCUMENTS=2000 OQ_FUZZ_VALUES=20000 OQ_FUZZ_DAMAGE=3000 OQ_FUZZ_FRAMES=2000 OQ_MACHINE_EXAMPLES=1000 OQ_POISON_EVERY=1 \
	OQ_SLOTS=1000 OQ_KILLS=20
soak: $(READY) ## Run the simulation for long, 20,500 schedules, write docs/evidence/simulation.md, plant all mistakes, and run the fuzzers at full size
	@$(BIG) $(PYTEST) -o timeout=7200 tests/fuzz tests/payload/test_seal.py tests/poison/test_virtual.py \
		tests/queue/test_part_machine.py tests/simulation/test_machine.py tests/chaos/test_kill.py tests/chaos/test_rate.py tests/chaos/test_schedule.py
	@$(BIN)/python -m tests.simulation.mutation --processes $(PROCESSES) --report docs/evidence/mutation.md $(COMMIT)
	@$(BIN)/python -m oqkit.testing.simulation $(SEEDS) --processes $(PROCESSES) --report docs/evidence/simulation.md $(COMMIT)

FIRST ?= 216
poison: $(READY) ## Run 216 cases of rows that kill their worker, and write docs/evidence/poison.md. An hour; FIRST=20 for some
	@$(BIN)/python -m tests.poison.matrix --first $(FIRST) --processes $(PROCESSES) --report docs/evidence/poison.md

chaos: $(READY) ## Kill and stop workers behind a proxy that spoils requests; docs/evidence/chaos.md. Half an hour
	@$(BIN)/python -m benchmarks.chaos

ONLY ?=
bench: $(READY) ## Run the benchmarks and write docs/benchmarks.md; ONLY=latency runs one of them
	@$(BIN)/python benchmarks/run.py $(ONLY)

docs: $(READY) ## Build the documentation into build/site
	$(BIN)/python -m mkdocs build -q -d build/site

install-check: ## Check that `pip install .` resolves fast and rightly, with a new and an old pip
	$(NEEDS_PYTHON)
	@$(PYTHON) tests/install_check.py

lock: ## Write requirements.lock anew from pyproject.toml, with the newest releases
	$(NEEDS_PYTHON)
	@$(PYTHON) -m venv --clear build/lock
	@build/lock/bin/python -m pip install --quiet --quiet 'uv>=0.9'
	@build/lock/bin/uv pip compile --no-config --quiet --upgrade --universal --python-version 3.11 \
		--fork-strategy fewest --all-extras --generate-hashes --no-annotate --no-emit-package oqkit \
		--custom-compile-command 'make lock' --output-file requirements.lock pyproject.toml
	@if grep -nE '://|^-|file:' requirements.lock; then \
		echo 'requirements.lock names a place: it would only work here.'; exit 1; fi

clean: ## Remove everything that make and the tools made, .venv too
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment follows the lock: made when missing or broken, brought up to date when the lock is newer.
# The lock is complete, so pip need not resolve anything: --no-deps.
$(READY): requirements.lock pyproject.toml
	$(NEEDS_PYTHON)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo 'Installing what requirements.lock names into $(VENV): a minute or two the first time.'
	@$(BIN)/python -m pip install --quiet --quiet --no-deps --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --quiet --no-deps --no-build-isolation --editable .
	@touch $@
