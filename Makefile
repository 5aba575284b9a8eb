# Everything a newcomer or CI runs. `make demo` and `make test` need Python 3.11 and make, nothing else.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable
STAMP = $(BIN)/.installed
PROCESSES ?= 2

.PHONY: demo test test-all check lint types imports wheel bench format clean

demo: $(STAMP)-demo  ## the whole job on the docstrings of the installed packages
	$(BIN)/fusionapp demo

# Two processes of one thread each take half the time of one. pytest-benchmark warns of them, and warnings are errors.
test: export OMP_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: $(STAMP)-dev  ## the default test suite
	$(BIN)/python -m pytest -p no:benchmark --dist worksteal --numprocesses $(PROCESSES)

test-all: $(STAMP)-dev  ## with slow, real-data and (where there is one) GPU tests
	$(BIN)/python -m pytest -m ""

check: lint types imports test wheel  ## everything that CI runs

lint: $(STAMP)-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)-dev
	$(BIN)/mypy

imports: $(STAMP)-dev
	$(BIN)/lint-imports

wheel: $(STAMP)-dev  ## build the wheel and run it in an environment without the sources
	$(BIN)/python tests/wheel_smoke.py

bench: $(STAMP)-dev  ## pytest-benchmark over the core, into benchmarks/results/core.json
	mkdir -p benchmarks/results
	$(BIN)/python -m pytest benchmarks --benchmark-only -m "" --benchmark-json benchmarks/results/core.json

format: $(STAMP)-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"'
	$(PYTHON) -m venv .venv

$(STAMP)-demo: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) ".[demo]"
	touch $@

$(STAMP)-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) ".[cpu,demo,dev,eval,retrieve,tune]"
	touch $@
