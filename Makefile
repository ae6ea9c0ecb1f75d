# Each target sets up what it needs in .venv and then does its one thing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
VIDEO ?=
# Files of tests over all cores; each test has one.
SPREAD = --numprocesses auto --maxprocesses 8 --dist loadfile

.PHONY: demo test lint wheel clean

demo: $(VENV)/.demo
	$(BIN)/worldweave demo $(if $(VIDEO),"$(VIDEO)")

test: $(VENV)/.test
	$(BIN)/python -m pytest $(SPREAD)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

wheel: $(VENV)/.demo
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps -w dist . ./kernels

clean:
	rm -rf $(VENV) build demo dist

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A stamp for each set of dependencies; it is made only once the install is whole.
$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e .
	touch $@

$(VENV)/.test $(VENV)/.lint: $(VENV)/.%: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[$*]'
	touch $@
