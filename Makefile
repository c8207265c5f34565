# make demo   installs, then shows a real model before and after fine-tuning
# make test   installs, then runs the tests that take minutes in all; make test-slow runs the others
# Variables:  PYTHON=python3.12   VENV=.venv
#             PROCESSES=2          how many processes test at once
#             TORCH_INDEX=https://download.pytorch.org/whl/cpu   PyTorch without CUDA (Linux without a GPU)

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
PROCESSES ?= 2
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
LOCKED := openai search serve server slurm xlsx
PYTEST = $(BIN)/python -m pytest --numprocesses $(PROCESSES)

.PHONY: help install install-dev demo test test-slow coverage lint lock clean
help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install: $(VENV)/.installed  ## create the virtual environment

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(PIP) torch --index-url $(TORCH_INDEX))
	$(PIP) --editable .
	@touch $@

install-dev: $(VENV)/.installed-dev  ## the same with what the tests and the linters need

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	@touch $@

demo: install  ## a real model before and after fine-tuning, in minutes
	@if $(BIN)/medft fetch experiment=demo; then \
		$(BIN)/python train.py experiment=demo; \
	else \
		echo "The pretrained model cannot be had here: showing the one made from scratch instead."; \
		$(BIN)/python train.py experiment=demo model=gpt2-nano; \
	fi

test: $(VENV)/.installed-dev  ## run the tests that need no second process and no long training
	$(PYTEST) -m "not slow" --dist worksteal

test-slow: $(VENV)/.installed-dev  ## run the others: processes, servers, real models, simulations
	$(PYTEST) -m slow --dist loadgroup

coverage: $(VENV)/.installed-dev  ## run all tests; say which lines of src/medft none of them reaches
	$(PYTEST) --dist loadgroup --cov --cov-report=term

lint: $(VENV)/.installed-dev  ## ruff, mypy --strict, that imports go down only, and the manual
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir $(VENV)/site

lock: $(VENV)/.installed  ## renew requirements.lock from constraints.txt
	$(BIN)/python -m pip install --quiet 'uv>=0.13,<0.14'
	rm -f requirements.lock
	$(BIN)/uv pip compile pyproject.toml --constraint constraints.txt --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header $(foreach extra,$(LOCKED),--extra $(extra)) --quiet --output-file requirements.lock

clean:  ## remove the virtual environment
	rm -rf $(VENV)
