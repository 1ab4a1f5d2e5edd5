# make setup   .venv with everything for development
# make demo    the lab up and the console on it; without a terminal: one migration, its result as JSON
# make test    all tests that this machine can run, but those on two Kubernetes clusters
# make test-web   the console in a headless Chromium (Debian's, installed where there is none)
# make test-kubernetes   two Kubernetes clusters, compiled first where they are not in the cache (minutes), and tests on them
# make test-clouds   the clouds' real SDKs and umsui against a local Azure and Google Cloud; a drag from one to the other
# make screenshots   pictures of a real migration, into screenshots/
# make bench   downtime of ours beside podman's own checkpoint + copy + restore, which must be at least twice ours
# make bench-console   what the console costs in a pseudo-terminal: first paint, bytes, reactions, memory
# make lint    style, types, layers

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo lab test bench test-web test-clouds test-kubernetes bench-console lint format screenshots

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
	@.venv/bin/pytest -m 'not kubernetes' $(PYTEST_ARGS)

test-web: setup
	@UMSUI_CHROMIUM=$$(scripts/prepare_chromium) && export UMSUI_CHROMIUM && \
	.venv/bin/pytest -q tests/web tests/console/test_door.py $(PYTEST_ARGS)

test-kubernetes: setup
	@.venv/bin/python scripts/prepare_lab.py --kubernetes
	@.venv/bin/pytest -q tests/kubernetes tests/lab/test_kubernetes*.py $(PYTEST_ARGS)

test-clouds: setup
	@.venv/bin/python scripts/prepare_lab.py --or-skip
	@.venv/bin/pytest -q tests/clouds $(PYTEST_ARGS)

screenshots: lab
	@.venv/bin/python scripts/screenshots.py

bench: lab
	@.venv/bin/umsui bench compare --sizes 64 --runs 3 --rate none --max-ratio 0.5 $(BENCH_ARGS)

bench-console: setup
	@.venv/bin/python -m tests.console.bench

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
