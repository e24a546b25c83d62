# Renderhook, from a clone to a running process: Python 3.11 or newer with venv and pip, and this file.
# Works with GNU make 3.81 (macOS) and later. `make demo PYTHON=/path/to/python3.12` chooses the interpreter;
# ARGS goes to the command: make test ARGS="-k callback".

SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?=
ARGS ?=
CANDIDATES := $(if $(strip $(PYTHON)),"$(PYTHON)",python3.13 python3.12 python3.11 python3)

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.PHONY: help venv run demo docs test coverage second-python chaos bench bench-check bench-against check lock format clean FORCE

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

venv: $(STAMP) ## Create .venv from requirements-dev.txt (the others do it by themselves)

run: $(STAMP) ## Serve, with the settings of the environment
	@$(PY) -m renderhook serve $(ARGS)

demo: $(STAMP) ## See real work done on loopback: no keys, no network
	@$(PY) -m renderhook demo $(ARGS)

docs: $(STAMP) ## Write the pages that are made from the code
	$(PY) -m receiver.settings_page > docs/reference/settings.md
	$(PY) -m telemetry.events_page > docs/reference/events.md

# Three at a time on two cores: half of a test's time is waiting for a disk, a clock or a process.
test: $(STAMP) ## Run the tests
	@$(PY) -m pytest -n 3 $(ARGS)

# Measuring makes tests slower by two fifths, so `make test` does without. Left out are tests that start the product as
# processes of its own, which are not measured: most of them are killed, and an exit hook is where coverage is written;
# and tests of how long something takes.
UNMEASURED := tests/receiver/test_receiver_job_request_times.py tests/bench tests/conformance tests/documentation tests/postgres tests/process
coverage: $(STAMP) ## Run the tests that run in process, and fail under the coverage that pyproject.toml names
	@$(PY) -m pytest -n 2 --cov --cov-report=term $(addprefix --ignore=,$(UNMEASURED))

# The fast tests of each package, on SQLite. A python3.13 of PATH or of pyenv is used as it is found; none is downloaded.
SECOND := 3.13
SECOND_TESTS := tests/providers tests/settings tests/telemetry tests/outbound tests/ledger tests/receiver tests/submitter tests/work
FIND_SECOND := for found in $$(command -v python$(SECOND)) $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$(SECOND)*/bin/python$(SECOND); do \
	"$$found" -c 'import venv, ensurepip' 2>/dev/null && echo "$$found" && break; done

second-python: ## Run the fast tests on Python 3.13, if this machine has it
	@found=$$($(FIND_SECOND)); \
	if test -z "$$found"; then echo "Python $(SECOND) is not on this machine: its tests are not run"; exit 0; fi; \
	echo "Running the fast tests with $$found"; \
	"$$found" -m venv --clear build/venv-$(SECOND) && \
	build/venv-$(SECOND)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-input --require-hashes -r requirements-dev.txt && \
	build/venv-$(SECOND)/bin/python -m pytest -n 2 -k "not postgres" $(SECOND_TESTS)

# No test starts after 13 minutes, and none lasts over 2 (pyproject.toml): 15 at most.
chaos: $(STAMP) ## Run the long tests that kill processes (15 minutes at most)
	@$(PY) -m pytest -m chaos --session-timeout=780 tests/chaos tests/ledger/test_ledger_rebuilds.py $(ARGS)

# Everything, a ten-minute soak and a million jobs among it: about half an hour. ARGS="--only callbacks,deliveries" is two minutes.
bench: $(STAMP) ## Measure, beside baselines in the same run: build/bench.json and a table
	@$(PY) -m tests.bench $(ARGS)

bench-check: $(STAMP) ## Fail when a ratio is a fifth below the stored one
	@$(PY) -m tests.bench --check

# In turns, three times each: about half an hour, on a machine that does nothing else.
COMMIT ?= dd432ce
bench-against: $(STAMP) ## Fail when a figure is a twentieth worse than that of COMMIT in the same run
	@$(PY) -m tests.bench --against $(COMMIT)

# Variables that vulture thinks unused are fields of rows and messages: SQL fills them, JSON carries them, ruff judges the rest.
check: $(STAMP) ## Lint, format, types, import rules, unused code
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-logo
	@echo $(PY) -m vulture
	@! $(PY) -m vulture 2>&1 | grep -v "unused variable"

format: $(STAMP) ## Rewrite the code as `make check` wants it, where a machine can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# Pins are kept while they fit; `make lock ARGS=--upgrade` moves them. The development file starts from the other's pins.
COMPILE := $(PY) -m uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" $(ARGS)

lock: $(STAMP) ## Pin what pyproject.toml asks for, with hashes, into both requirements files
	$(COMPILE) --extra postgres --output-file requirements.txt
	$(COMPILE) --extra postgres --extra dev --constraint requirements.txt --output-file requirements-dev.txt

clean: ## Remove .venv, caches and builds (never data/)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A .venv whose interpreter is gone (an upgraded or removed Python) is made anew, whatever the stamp says.
ifneq ($(shell test -x $(PY) && echo usable),usable)
$(STAMP): FORCE
endif
FORCE:

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

$(STAMP): requirements-dev.txt
	@say() { echo "renderhook: $$*" >&2; exit 1; }; \
	if ! $(PY) -c '$(NEW_ENOUGH)' 2>/dev/null || ! $(PY) -m pip --version >/dev/null 2>&1; then \
		found=; chosen=; \
		for candidate in $(CANDIDATES); do \
			"$$candidate" -c '$(NEW_ENOUGH)' 2>/dev/null || continue; \
			found=$$candidate; \
			"$$candidate" -c 'import venv, ensurepip' 2>/dev/null && { chosen=$$candidate; break; }; \
		done; \
		test -n "$$found" || say "no Python 3.11 or newer (tried: "$(CANDIDATES)"). Install one (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python), or name it: make PYTHON=/path/to/python3."; \
		test -n "$$chosen" || say "$$found cannot make a virtual environment: its venv or ensurepip (pip) module is missing. Install it (Debian, Ubuntu: apt-get install python3-venv; macOS: brew install python)."; \
		echo "Creating $(VENV) with $$chosen"; \
		"$$chosen" -m venv --clear $(VENV) || say "$$chosen could not create $(VENV): see above; free space or permissions here, or apt-get install python3-venv (macOS: brew install python)."; \
		$(PY) -m pip --version >/dev/null 2>&1 || say "$(VENV) has no pip. Install it (Debian, Ubuntu: apt-get install python3-venv python3-pip; macOS: brew install python), then: make clean."; \
	fi; \
	echo "Installing requirements-dev.txt into $(VENV)"; \
	$(PY) -m pip install --quiet --quiet --disable-pip-version-check --no-input --require-hashes -r requirements-dev.txt \
		|| say "pip could not install requirements-dev.txt: see above; it needs a package index (network, proxy or pip.conf). Then run make again."
	@touch $(STAMP)
