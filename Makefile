# make setup   .venv with everything for development
# make demo    the lab up and the console on it; without a terminal: one migration, its result as JSON
# make test    all tests that this machine can run
# make screenshots   pictures of a real migration, into screenshots/
# make bench   downtime of ours beside podman's own checkpoint + copy + restore, which must be at least twice ours
# make lint    style, types, layers

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo lab test bench lint format screenshots

help:
	@sed -n 's/^# //p' Makefile

setup: .venv/.ready

.venv/.ready: requirements-dev.lock pyproject.toml scripts/setup
	@scripts/setup

# What the lab needs from the network, once; quick when it is there.
lab: setup
	@.venv/bin/python scripts/prepare_lab.py

demo: lab
	@scripts/demo

test: setup
	@.venv/bin/python scripts/prepare_lab.py --or-skip
	@.venv/bin/pytest $(PYTEST_ARGS)

screenshots: lab
	@.venv/bin/python scripts/screenshots.py

bench: lab
	@.venv/bin/umsui bench compare --sizes 64 --runs 3 --rate none --max-ratio 0.5 $(BENCH_ARGS)

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
