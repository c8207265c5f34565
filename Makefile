# make demo   installs, then shows a real model before and after fine-tuning
# make test   installs, then runs the tests
# Variables:  PYTHON=python3.12   VENV=.venv
#             PROCESSES=2          how many processes test at once
#             TORCH_INDEX=https://download.pytorch.org/whl/cpu   PyTorch without CUDA (Linux without a GPU)

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
PROCESSES ?= 2
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help install demo test lint clean
help:  ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install: $(VENV)/.installed  ## create the virtual environment

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(PIP) torch --index-url $(TORCH_INDEX))
	$(PIP) --editable .
	@touch $@

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

test: $(VENV)/.installed-dev  ## run the tests
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile

lint: $(VENV)/.installed-dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## remove the virtual environment
	rm -rf $(VENV)
