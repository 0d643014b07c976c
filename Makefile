# The table of contents of the work: every command of the project is here and each works as the first one on a fresh clone.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.NOTPARALLEL:

PYTHON ?= python3
PORT ?= 8080
BIN := .venv/bin
READY := .venv/ready
DEMO := .demo
# Each page that holds a block printed from the code.
PAGES = $(shell grep -rlF '[[[cog' --include='*.md' README.md docs 2>/dev/null)

# Compiled modules are worth keeping here: the tests start many short processes.
unexport PYTHONDONTWRITEBYTECODE
# What a shell has active must not reach into .venv.
unexport PYTHONPATH
unexport PYTHONHOME
unexport VIRTUAL_ENV
# A step's name and its seconds, on one line.
TIMED = TIMEFORMAT='  %R s  $(1)'; time

.PHONY: help
help:  ## Say what there is to do.
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1|/' | column -t -s '|'

.PHONY: demo
demo: $(READY)  ## Tell the whole story on real data in the terminal, and exit 0 only if every step held.
	$(BIN)/baybridge demo

.PHONY: serve
serve: $(DEMO)/made  ## Serve the demo's exchange, made once under .demo, on PORT (8080).
	$(BIN)/baybridge serve --home $(DEMO)/home --port $(PORT)

$(DEMO)/made: | $(READY)
	rm -rf $(DEMO)
	mkdir -p $(DEMO)
	$(BIN)/baybridge demo --home $(DEMO)/home
	touch $@

.PHONY: test
test: system lint doccheck longest  ## Everything CI runs: the fast checks, then all tests; the fast ones with a catalog again on PostgreSQL.
	$(BIN)/pytest -n 2 --dist loadgroup --durations 10
	TEST_CATALOG=postgresql $(BIN)/pytest -m "not slow and not prove" -n 2 --dist loadgroup --durations 10

.PHONY: check
check: system lint doccheck longest  ## The fast part of `make test`, under three minutes.
	$(BIN)/pytest -m "not slow and not prove" -n 2 --dist loadgroup --durations 10

.PHONY: lint
lint: $(READY)  ## Format, lint, types and import contracts; changes nothing.
	@$(call TIMED,ruff format) $(BIN)/ruff format --quiet --check --diff .
	@$(call TIMED,ruff check) $(BIN)/ruff check --quiet .
	@$(call TIMED,mypy) $(BIN)/mypy
	@$(call TIMED,lint-imports) $(BIN)/lint-imports --no-logo

.PHONY: format
format: $(READY)  ## Format, and mend what the linter can mend safely.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: docs
docs: $(READY)  ## Regenerate what is printed from the code: parts of the pages, and the SDK's exceptions.
	$(BIN)/python tools/exceptions.py > .exceptions.new
	mv .exceptions.new src/baybridge/client/exceptions.py
	@if [ -n "$(PAGES)" ]; then $(BIN)/cog -r $(PAGES); fi

.PHONY: doccheck
doccheck: $(READY)
	@if [ -n "$(PAGES)" ]; then $(call TIMED,cog) $(BIN)/cog --check --diff $(PAGES); fi

.PHONY: longest
longest: $(READY)
	@$(BIN)/python tools/longest.py

.PHONY: prove
prove: system $(READY)  ## The properties again with far more examples, and the slow attacks; the report goes under prove/.
	@mkdir -p prove
	HYPOTHESIS_PROFILE=prove $(BIN)/pytest -m prove -n 2 --dist loadgroup --durations 10 --junit-xml prove/report.xml | tee prove/report.txt

.PHONY: bench
bench: $(READY)  ## Measure ours and its peers side by side, on this machine.
	$(BIN)/python -m bench.run

.PHONY: lock
lock: $(READY)  ## Renew the hash-pinned requirements from the ranges of pyproject.toml.
	tools/lock

.PHONY: system
system:  ## Install the Debian packages that the tests need, or say which.
	@PYTHON=$(PYTHON) tools/system python git strace go postgresql

.PHONY: clean
clean:  ## Remove everything that the other targets made.
	rm -rf .venv .demo .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist prove/report.xml prove/report.txt
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip brings uv and the build backends, uv the rest. Every file is checked against its hash, and without build isolation
# nothing that is not locked can run while a source package builds.
$(READY): requirements-build.txt requirements-dev.txt pyproject.toml
	@PYTHON=$(PYTHON) tools/system python
	@echo "Installing the locked environment into .venv"
	@rm -f $@
	@test -x $(BIN)/uv || { rm -rf .venv && $(PYTHON) -m venv .venv; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-build.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --no-build-isolation --compile-bytecode requirements-dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
