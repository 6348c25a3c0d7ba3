# Everything a developer types. Needs Python 3.11 or newer with pip, and make; nothing else.

SHELL := /bin/bash
.DEFAULT_GOAL := help
# Which one is taken where none is named: tools/venv.
PYTHON ?=
DATA ?= data

VENV := .venv
BIN := $(VENV)/bin
# Touched when the environment has what the project needs: to run, and to be worked on.
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
# Debian's packages that tests talk to: real servers and clients.
PEERS := postfix swaks curl dnsmasq-base redis-server knot libfaketime msmtp php-cli prometheus prometheus-alertmanager

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(RUNTIME) ## Run everything in the sandbox: nothing leaves this machine (DATA=directory)
	@exec $(BIN)/relay up --sandbox --data $(DATA)

.PHONY: test
test: $(DEV) peers ## Run all tests (ARGS=what pytest is to get)
	@$(BIN)/pytest --numprocesses 3 --dist loadfile $(ARGS)

.PHONY: check
check: fuzzer format-check lint types imports test ## Everything that must hold: format, lint, types, imports, tests

.PHONY: format format-check lint types imports
format: $(DEV) ## Bring all code into the one format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

format-check: $(DEV)
	@$(BIN)/ruff format --check .

lint: $(DEV) ## Look for faults that need no running
	@$(BIN)/ruff check .

types: $(DEV) ## Check all types
	@$(BIN)/mypy

imports: $(DEV) ## Check that modules import from lower floors only
	@$(BIN)/lint-imports

.PHONY: test-cluster
test-cluster: $(DEV) peers ## Run the end-to-end tests with a Redis Cluster of three nodes as the store
	@TEST_STORE=cluster $(BIN)/pytest tests/e2e tests/store/test_cluster.py $(ARGS)

.PHONY: bench
bench: $(DEV) peers ## Measure: SMTP in to SMTP out, beside Postfix (ARGS=what the bench is to get)
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: bench-quick
bench-quick: $(DEV) peers ## Measure for two minutes: the most telling cases, beside Postfix
	@$(BIN)/python -m tests.bench --quick $(ARGS)

# Seconds for each target.
SECONDS ?= 60
.PHONY: fuzz
fuzz: fuzzer ## Fuzz whatever reads what comes from outside (SECONDS=for each target, ARGS=targets)
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

.PHONY: simulate
simulate: $(DEV) ## Simulate ten million messages on a virtual clock, in minutes (ARGS=what it is to get)
	@$(BIN)/python -m tests.bench.simulate $(ARGS)

.PHONY: faults
faults: $(DEV) peers ## Make everything go wrong under load; writes docs/reliability.md's table (ARGS=faults)
	@$(BIN)/python -m tests.faults $(ARGS)

.PHONY: soak
SOAK ?= 30
soak: $(DEV) peers ## A mixed load with faults at random, for SOAK minutes
	@$(BIN)/python -m tests.faults.soak $(SOAK) $(ARGS)

.PHONY: compose-test
compose-test: $(DEV) ## Bring docker-compose.yml up for real, in an engine of its own (as root; minutes)
	@tools/packages runc iptables mmdebstrap
	@$(BIN)/pytest tests/compose $(ARGS)

.PHONY: docs
docs: $(DEV) ## Make the generated documents again
	@$(BIN)/relay config docs > docs/configuration.md.new && mv docs/configuration.md.new docs/configuration.md
	@$(BIN)/relay config docs --toml > deploy/relay.toml.new && mv deploy/relay.toml.new deploy/relay.toml
	@$(BIN)/python -m relay.metrics.document > docs/metrics.md.new && mv docs/metrics.md.new docs/metrics.md
	@$(BIN)/python -m deploy.grafana

# Drawn over so many seconds; the pictures in the documents over ten minutes.
DRAWN ?= 120
.PHONY: dashboards
dashboards: $(DEV) peers ## Draw the dashboards over a live incident (needs npm; DRAWN=seconds)
	@command -v chromium >/dev/null || tools/packages chromium
	@command -v npm >/dev/null || tools/packages npm
	@$(INSTALL) '.[dashboards]'
	@cd deploy/grafana/draw && npm install --silent --legacy-peer-deps --ignore-scripts \
		--no-audit --no-fund --no-package-lock && npm run --silent build
	@$(BIN)/python -m tests.dashboards.incident --seconds $(DRAWN)

.PHONY: clean
clean: ## Remove the environment and everything generated (not the data directory)
	@rm -rf $(VENV) .compose-test build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment. Installed again when what it is made from changes. Pip tells errors alone.

INSTALL := $(BIN)/pip install -qq --disable-pip-version-check -c constraints.txt -e

$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing what Relay needs (once)..."
	@$(INSTALL) .
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing what its tests need (once)..."
	@$(INSTALL) '.[dev]'
	@touch $@ $(RUNTIME)

# Without a wheel of it only inputs that were found before are tried.
.PHONY: fuzzer
fuzzer: $(DEV)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(INSTALL) '.[dev,fuzz]' || echo "There is no atheris for this Python."

$(BIN)/python:
	@tools/venv "$(PYTHON)" $(VENV)

# Where they cannot be had, their tests are skipped; in CI nothing is.
.PHONY: peers
peers:
	@tools/packages $(PEERS) || [ -z "$$CI" ]
