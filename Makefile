# Two commands do all the set-up: `make demo` and `make test`.
# Each makes .venv and installs what it needs; nothing is taken from outside it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-worlds test-crash test-network test-slow check format bench fuzz docs map dist clean

demo: $(READY)
	$(BIN)/python sample_releases/demo.py

test: check
	$(BIN)/pytest -n 2 -m "not network and not crash and not slow and not worlds"

# Every system call and every power cut; UPSWAP_CRASH_EVERY=80 disturbs every eightieth.
test-crash: $(READY)
	$(BIN)/pytest -n 2 -m crash -raP --show-capture=stdout

# Random worlds, for WORLDS_SECONDS from WORLDS_SEED on; PUT_BACK=B puts mended faults back, one at a
# time, and searches until each is found (`all`: every one).
WORLDS_SECONDS ?= 180
WORLDS_SEED ?= 1
PUT_BACK ?=
test-worlds: export WORLDS_SECONDS := $(WORLDS_SECONDS)
test-worlds: export WORLDS_SEED := $(WORLDS_SEED)
test-worlds: $(READY)
ifeq ($(PUT_BACK),)
	$(BIN)/pytest tests/worlds -n 2 -m worlds -raP --show-capture=stdout
else
	$(BIN)/python -m tests.worlds.faults.put_back $(PUT_BACK)
endif

# Recipes, attacks and trees of all shapes, each with a whole install.
test-slow: $(READY)
	$(BIN)/pytest -n 2 -m slow

test-network: $(READY)
	$(BIN)/pytest -m network

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=tools $(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python -m benchmarks --metadata

# 15 minutes for each parser, or as many seconds as FUZZ_SECONDS says; one: `make fuzz FUZZ=manifest`.
FUZZ ?= $(shell $(BIN)/python -m tests.attacks.fuzz --list)
FUZZ_SECONDS ?= 900
fuzz: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check atheris
	for name in $(FUZZ); do $(BIN)/python -m tests.attacks.fuzz $$name -max_total_time=$(FUZZ_SECONDS) || exit 1; done

# The three distributions at once, so that none of them is looked for in an index.
$(READY): pyproject.toml tools/pyproject.toml patchserver/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check \
		--editable '.[dev]' --editable tools --editable patchserver
	touch $@

# The picture and the folders in docs/architecture.md, from import contracts and docstrings.
map: $(READY)
	$(BIN)/python docs/site/folder_map.py

# The site, in build/docs; a warning is an error.
docs: $(READY)
	$(BIN)/sphinx-build -q -W --keep-going -E -c docs/site docs build/docs

# A wheel and a source distribution of each of the three, in dist/.
dist: $(READY)
	for folder in . tools patchserver; do \
		(cd $$folder && $(CURDIR)/$(BIN)/python -m hatchling build -d $(CURDIR)/dist) || exit 1; done

clean:
	rm -rf $(VENV) build dist
