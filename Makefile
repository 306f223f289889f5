# Every target sets up what it needs first; people, hooks and CI use the same ones.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
PINS := --quiet --no-annotate --no-header --python-version 3.11

.PHONY: help setup demo check test test-release coverage lint docs format up lock clean clean-data

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 19

setup:  ## install the pinned packages into .venv (TORCH=cu130 for a CUDA build, TORCH=cpu back)
	@infra/local/setup.sh

demo: setup  ## the whole loop on real recordings; a project about other activities runs it in demo/
	@$(BIN)/har demo

check: lint  ## lint, types, and the tests that start no server: under five minutes
	@$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m "not stack and not release"

test: setup  ## run the tests
	@$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m "not release"

test-release: setup  ## run all tests, with new projects and fresh environments; prints branch coverage
	@$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered

coverage: setup  ## branch coverage of the tests that start no server
	@$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m "not stack and not release" --cov --cov-report=term:skip-covered

lint: setup  ## ruff, mypy, import rules; workflows, images, compose files and scripts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@! [ -x infra/delivery/lint.sh ] || infra/delivery/lint.sh

docs: setup  ## build the handbook into site/; broken links and missing pages fail
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The handbook: site/index.html"

format: setup  ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

up: setup  ## start all parts on this machine: schedules, services, pages; Ctrl-C stops them
	@$(BIN)/har up

lock: setup  ## compile the pinned requirements
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group dev $(PINS) \
	  | sed 's/+cpu$$//' | grep -vE '^(cuda-|triton==|nvidia-[^m])' >requirements/dev.txt.new
	@mv requirements/dev.txt.new requirements/dev.txt
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group online --group batch --group cluster --constraints requirements/dev.txt $(PINS) \
	  | sed 's/+cpu$$//' | grep -vE '^(cuda-|triton==|nvidia-[^m])' >requirements/train.txt.new
	@mv requirements/train.txt.new requirements/train.txt
	@for box in online batch; do \
	  $(BIN)/uv pip compile --group $$box --constraints requirements/dev.txt $(PINS) --output-file requirements/$$box.txt || exit; done
	@$(BIN)/uv pip compile requirements/tools.in $(PINS) --output-file requirements/tools.txt
	@$(BIN)/uv pip compile requirements/test-tools.in --constraints requirements/tools.txt $(PINS) --output-file requirements/test-tools.txt
	@! [ -e requirements/checkov.in ] || $(BIN)/uv pip compile requirements/checkov.in $(PINS) --output-file requirements/checkov.txt

clean:  ## remove what can be made again: the demo's folder, the handbook, caches, files of finished trainings
	rm -rf site build dist htmlcov runs .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -path ./.venv -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +
	@! grep -qs '^name = ".*-demo"' demo/har.toml || { echo rm -rf demo; rm -rf demo; }

clean-data: setup  ## delete recordings, lake, models, log and reports, after listing them and a typed "yes"
	@$(BIN)/python -m infra.local.clean

# The targets of what a project contains: images, the stack in containers, delivery; and the benchmarks.
-include $(wildcard infra/*/targets.mk) tests/bench/targets.mk
