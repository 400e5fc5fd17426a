# The commands of the project. `make help` lists them.
# Every path is relative and quoted, so a folder with a space in its name is fine.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
POETRY_VERSION := 2.5.1
EXPORT_VERSION := 1.10.1
PYTEST_ARGS ?=
# Every extra that the tests need; gpu is the one they do not.
EXTRAS := lite augment onnx litert tune ray web hub
SHELL := bash
.SHELLFLAGS := -o pipefail -c
# pip tells each package as it comes; the terminal shows one line, a failure shows all.
PIP_INSTALL = $(1) -m pip install --disable-pip-version-check $(2) 2>$(VENV)/pip.err | \
	awk '/^(Collecting|Installing)/ { line = sprintf("%3d  %s", ++n, substr($$0, 1, 60)); \
	  if (tty) printf "\r\033[K%s", line; else if (n % 25 == 0) print line; fflush() } \
	  END { if (tty) printf "\r\033[K" }' tty=$(shell test -t 1 && echo 1 || echo 0) \
	|| { cat $(VENV)/pip.err; exit 1; }

.PHONY: help setup shell demo test test-all check lint types docs audit explore fuzz format bench lock clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/.stamp ## Make .venv from poetry.lock, every file checked by its hash

# Poetry only exports the lock; pip installs it, which works behind any mirror.
$(VENV)/.stamp: poetry.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	  f"make: needs Python 3.11, 3.12 or 3.13, got {sys.version.split()[0]}; try: make PYTHON=python3.12 ...")'
	@echo "setup: making $(VENV); the packages take about 3 GB and some minutes"
	@$(PYTHON) -m venv $(VENV)
	@$(PYTHON) -m venv $(VENV)/poetry
	@echo "setup: Poetry, to read the lock"
	@$(call PIP_INSTALL,$(VENV)/poetry/bin/python,"poetry==$(POETRY_VERSION)" "poetry-plugin-export==$(EXPORT_VERSION)")
	@$(VENV)/poetry/bin/python -m poetry export --quiet --with dev $(EXTRAS:%=--extras %) --output $(VENV)/requirements.txt
	@echo "setup: $$(grep -c == $(VENV)/requirements.txt) packages, each checked by its hash"
	@$(call PIP_INSTALL,$(PY),--require-hashes --requirement $(VENV)/requirements.txt)
	@$(call PIP_INSTALL,$(PY),--no-deps --no-build-isolation --editable .)
	@touch $(VENV)/.stamp

shell: setup ## Open a shell in which `tfclassify` is a command
	@echo "shell: tfclassify $$($(PY) -c 'import tfclassify; print(tfclassify.__version__)'); leave with exit"
	@. $(VENV)/bin/activate && exec "$${SHELL:-bash}"

demo: setup ## Set up, then train, judge and report on data that needs no download
	$(PY) -m tfclassify train recipes/quickstart.yaml

test: setup ## Set up, then run the tests
	$(PY) -m pytest $(PYTEST_ARGS)

test-all: setup ## Also the slow tests: real data, large networks
	$(PY) -m pytest -m "slow or not slow" $(PYTEST_ARGS)

explore: setup ## Run the property tests on new random examples
	TFCLASSIFY_HYPOTHESIS=explore $(PY) -m pytest -m "slow or not slow" $(shell grep -rl '@given' tests --include='test_*.py')

check: lint types test docs audit ## What a change must pass: lint, types, tests, docs, audit

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: setup
	$(PY) -m mypy

docs: setup ## Check that the generated reference pages are up to date
	$(PY) -m tests.docs

audit: setup ## Look for unsafe code and vulnerable packages; works without a network
	$(PY) -m tests.audit

fuzz: setup ## Feed the readers mutated files for a minute; guided by coverage where atheris is
	$(PY) -m tests.fuzz --seconds 60

format: setup ## Format the code
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: setup ## Run the benchmarks, one after the other
	for file in benchmarks/bench_*.py; do $(PY) "$$file" || exit 1; done

lock: setup ## Renew poetry.lock after a change of pyproject.toml
	$(VENV)/poetry/bin/python -m poetry lock

clean: ## Remove the environment and the caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
