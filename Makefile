# Everything a user does. Each target makes its own environment first.
STUDY ?=
COHORT_ROOT ?=
SET ?=
CORES ?= all
GPUS ?= 1
PYTHON ?= python3

ENV := .venv/installed
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONUNBUFFERED := 1
# Through the environment, where no quote or space of theirs means anything to the shell.
export STUDY COHORT_ROOT SET CORES GPUS

.DEFAULT_GOAL := help
.PHONY: help study check book pdf check-book test test-cluster mutants bench publish restore lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile
	@echo 'Studies: $(patsubst studies/%.yaml,%,$(wildcard studies/*.yaml)). Examples:'
	@echo '  make study STUDY=brats2019 COHORT_ROOT=/data/MICCAI_BraTS_2019_Data_Training'
	@echo '  make study STUDY=quick SET="epochs=5 images_per_class=[2,10]"'

study: $(ENV) ## run a study (STUDY=quick COHORT_ROOT= SET= CORES=all GPUS=1, cards to train on) and build its book
	@python -m ubc_lib study "$${STUDY:-quick}" "$$SET" --cohort-root="$$COHORT_ROOT" \
	  --cores="$$CORES" --gpus="$$GPUS"

check: $(ENV) ## look at a cohort before training: STUDY= COHORT_ROOT= SET=; outlines as a page
	@python -m ubc_lib check "$${STUDY:-quick}" "$$SET" --cohort-root="$$COHORT_ROOT"

book: $(ENV) ## rebuild the pages of STUDY, or of the committed results, without training
	@python -m ubc_lib book $$STUDY

pdf: $(ENV) ## the same, with all pages as one PDF besides (needs Chromium)
	@python -m ubc_lib book $$STUDY --pdf

check-book: $(ENV) ## look at every page of the book in _build/html: requests, weights, links, accessibility
	UBC_BOOK=_build/html pytest tests/test_browser.py tests/book/test_build.py \
	  -k "no_page or first_visit or whole_book or every_link or search"

test: $(ENV) ## run all tests but those of test-cluster, a file at a time on each core
	pytest -m "not slurm" --numprocesses logical --maxprocesses 4 --dist loadfile

test-cluster: $(ENV) ## run the tests that start a SLURM of their own (Debian: slurm-wlm munge)
	pytest -m slurm

mutants: $(ENV) ## put small errors into the science, one at a time: does a test notice?
	@python -m tests.mutants

bench: $(ENV) ## measure the engine against the reference loop (40 minutes on a quiet machine)
	@.venv/bin/python -m pip install --quiet --no-deps -r benchmarks/requirements.lock
	@python -m benchmarks.engine
	@python -m benchmarks.performance_page

publish: $(ENV) ## copy results of STUDY to data/results, without pictures of real patients; fit costs anew
	@python -m ubc_lib publish "$${STUDY:-quick}" "$$SET"
	@python -m benchmarks.cost

restore: $(ENV) ## copy the committed records of STUDY to data/runs, to continue them
	@python -m ubc_lib restore "$${STUDY:-quick}" "$$SET"

lock: $(ENV) ## choose the newest versions within the ranges of pyproject.toml
	uv pip compile pyproject.toml --extra test --universal --python-version 3.11 --upgrade \
	  --no-header --no-annotate --quiet -o requirements.lock
	uv pip compile pyproject.toml --extra bench --universal --python-version 3.11 \
	  --constraint requirements.lock --no-header --no-annotate --quiet \
	  | grep -vxFf requirements.lock > benchmarks/requirements.lock

clean: ## remove the environment and built pages; cohorts and results stay
	rm -rf .venv _build build

$(ENV): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Python 3.11 to 3.13 is needed: set PYTHON=, for example PYTHON=python3.11")'
	@echo "Installing the environment (7 GB, some minutes) ..."
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet -r requirements.lock
	@.venv/bin/python -m pip install --quiet --no-deps --editable .
	@touch $@
