# Every target sets up from nothing what it needs; the second time it sets up nothing.

VENV   ?= .venv
# The first interpreter that runs and is new enough; the versions are locked on 3.11.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ARGS   ?=

export HF_HUB_OFFLINE := 1
export OMP_WAIT_POLICY := PASSIVE
export TOKENIZERS_PARALLELISM := false

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## the virtual environment with the locked versions

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "graft needs Python 3.11 or newer, and found none"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked versions into $(VENV): about two minutes, this once"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: export OMP_NUM_THREADS ?= 2
demo: $(STAMP) ## teach the small models and show what they learnt
	@$(BIN)/graft demo $(ARGS)

test: export OMP_NUM_THREADS ?= 1
test: $(STAMP) ## the tests, a process for each core; ARGS="-k call -x" goes to pytest
	@$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

check: $(STAMP) ## format, lint, types and import rules
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/basedpyright
	$(BIN)/lint-imports --no-logo

format: $(STAMP) ## write the format and the fixes that are safe
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## remove the environment and the caches; runs/ stays
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
