# Two commands do all the set-up: `make demo` and `make test`.
# Each makes .venv and installs what it needs; nothing is taken from outside it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-crash test-network check format bench clean

demo: $(READY)
	$(BIN)/python sample_releases/demo.py

test: check
	$(BIN)/pytest -n 2 -m "not network and not crash"

# Every system call and every power cut; UPSWAP_CRASH_EVERY=11 disturbs every eleventh.
test-crash: $(READY)
	$(BIN)/pytest -n 2 -m crash -raP --show-capture=stdout

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

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist
