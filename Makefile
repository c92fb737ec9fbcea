# Each target first creates .venv from requirements.txt if it is missing or older.
PYTHON ?= python3
PY := .venv/bin/python

.PHONY: pretrain finetune test lint docs bench clean

pretrain finetune: .venv/ready
	$(PY) compute_chameleon_weights.py --mode $@

test: .venv/ready-for-tests .venv/trainers/ready
	$(PY) -m pytest

lint: .venv/ready-for-tests
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

docs: .venv/ready
	$(PY) docs/generate_cli.py > docs/cli.md.new
	mv docs/cli.md.new docs/cli.md

bench: .venv/ready
	$(PY) -m benchmarks

clean:
	rm -rf .venv

.venv/ready: requirements.txt
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/ready-for-tests: .venv/ready tests/requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

# Libraries whose pins conflict with ours go beside the environment; only the tests that run them see them.
.venv/trainers/ready: .venv/ready-for-tests tests/trainers.txt
	rm -rf .venv/trainers
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --target .venv/trainers -r tests/trainers.txt
	touch $@
