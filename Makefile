# Each command sets up what it needs; a second run finds it done. `make` alone lists them.
# Programs are called as `python -m ...`, and paths are relative or quoted: a folder name may hold a space.

PYTHON ?= python3
PORT ?= 8188
BASE ?= .comfyui/base
ARGS ?=
FRONT_END ?= 1.58.1

VENV_PYTHON := .venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-front-end screenshots check format serve bench setup-demo setup-dev

help:
	@echo 'make demo    a sketch and a prompt become a picture: output/demo.png, output/demo_explained.png'
	@echo 'make serve   ComfyUI with the pack in the foreground (PORT=8188, BASE=folder for models, input, output)'
	@echo 'make test    the whole test suite (ARGS="-k word" for some of it)'
	@echo 'make test-front-end   the browser tests on another version of the page (FRONT_END=1.58.1)'
	@echo 'make screenshots   the browser tests of the Styles tab, which write docs/styles_tab.png'
	@echo 'make check   format, lint and types'
	@echo 'make format  put the code into the format that `make check` asks for'
	@echo 'make bench   the benchmarks, one JSON object a line'
	@echo
	@echo 'COMFYUI_PATH=folder uses the ComfyUI there; PYTHON=program makes .venv with another Python (3.10 or newer).'

demo: setup-demo
	@$(VENV_PYTHON) dev/demo.py

serve: setup-demo
	@$(VENV_PYTHON) dev/comfyui.py --port "$(PORT)" --base "$(BASE)"

bench: setup-demo
	@$(VENV_PYTHON) benchmarks

test: setup-dev
	@$(VENV_PYTHON) -m pytest -c tests/pytest.ini --rootdir tests tests $(ARGS)

test-front-end: setup-dev
	@FRONT_END="$(FRONT_END)" $(VENV_PYTHON) -m pytest -c tests/pytest.ini --rootdir tests tests/browser $(ARGS)

screenshots: setup-dev
	@SCREENSHOTS="$(CURDIR)/docs" $(VENV_PYTHON) -m pytest -c tests/pytest.ini --rootdir tests tests/browser/test_styles_tab.py $(ARGS)

check: setup-dev
	@$(VENV_PYTHON) -m ruff format --check .
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m pyright

format: setup-dev
	@$(VENV_PYTHON) -m ruff format .
	@$(VENV_PYTHON) -m ruff check --fix .

setup-demo:
	@"$(PYTHON)" dev/setup.py demo

setup-dev:
	@"$(PYTHON)" dev/setup.py dev
