# `make demo` and `make test` make their own environment; nothing is needed beforehand but Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help install dev demo site test test-all check format clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed  ## Make .venv and install unskip with its pins
dev: $(VENV)/.dev  ## The same with the tools for tests and checks

# torch first: with its pin in place, nothing that depends on it fetches another build.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "unskip needs Python 3.11 or newer: make PYTHON=python3.11 ..")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: install  ## Remove the shortcuts of a ResNet on real handwritten digits: runs/demo/report.html
	$(BIN)/unskip run recipes/demo.yaml --out runs/demo

$(VENV)/.docs: $(VENV)/.installed mkdocs.yml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

site: $(VENV)/.docs  ## Build the documentation: site/index.html
	$(BIN)/mkdocs build --quiet

# One process per core with one thread each: threads of several processes on the same cores hinder each other.
# Each takes a stretch of the tests, so that what a module prepares is mostly prepared once.
test: dev  ## The test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-all: dev  ## Also the slow tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

check: dev  ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: dev  ## Format and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the environment and caches; runs/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist site
