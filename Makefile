# Each command is dev/make.py's, which does the same on Windows: `python dev/make.py demo`. `make` alone lists them.
# A variable such as PORT=8189 goes there through the environment.

PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help demo test test-front-end screenshots check format serve strengths gallery bench setup-demo setup-dev

help demo test test-front-end screenshots check format serve strengths gallery bench setup-demo setup-dev:
	@"$(PYTHON)" dev/make.py $@
