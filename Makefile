# make run: install, then train on real data and write a report. make test: install, then run the tests.
# make test-lowest: the tests with the lowest version of each dependency that the distributions allow.
# make docs: the documentation as a site, in site/index.html.
# make study-small: losses against each other, see docs/results/l2-vs-transport.md; hours, continued where it was stopped.
# make study-convex: the same question without a network, see docs/results/convex.md; also continued.
# make study-plane: networks in the plane, with more pairs of runs, see docs/results/plane.md; also continued.
PYTHON ?= python3
BIN := $(abspath .venv/bin)
DIST ?= dist
# A process for each core, each with one thread; the tests of one file stay together.
TESTS := -n auto --maxprocesses 8 --dist loadfile
BUILD = $(BIN)/python -c "import sys; from flit_core.buildapi import *; build_sdist(sys.argv[1]); build_wheel(sys.argv[1])"

SITE ?= site

.PHONY: run test test-slow test-lowest check docs dist study-small study-convex study-plane study install

run: install
	$(BIN)/edframe run --loss sinkhorn

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TESTS)

test-slow: install test-lowest
	$(BIN)/python -m pytest -m slow

# Warnings, such as a link that leads nowhere, are errors.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file docs/site/mkdocs.yml --site-dir "$(abspath $(SITE))"

# A wheel and an sdist of each distribution.
dist: install
	mkdir -p $(DIST)
	set -e; for project in . plugins/*/; do (cd $$project && $(BUILD) "$(abspath $(DIST))"); done

# PyTorch stays as it is installed here: another one is gigabytes. uv does not read where pip looks for wheels.
test-lowest: install
	$(BIN)/uv venv --quiet --clear --seed --python $(BIN)/python .venv-lowest
	$(BIN)/python -c "from importlib.metadata import version as v; print('torch==' + v('torch'))" > .venv-lowest/torch.txt
	UV_FIND_LINKS="$(PIP_FIND_LINKS)" $(BIN)/uv pip install --quiet --python .venv-lowest/bin/python \
	    --resolution lowest-direct -c .venv-lowest/torch.txt -r requirements.txt
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --no-deps -r oracles.txt
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest $(TESTS)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

study-small: install
	OMP_NUM_THREADS=1 $(BIN)/python docs/results/l2_vs_transport.py small --workers 2

study-convex: install
	OMP_NUM_THREADS=1 $(BIN)/python docs/results/convex.py
	OMP_NUM_THREADS=1 $(BIN)/python docs/results/convex.py blindness
	OMP_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=65536 $(BIN)/python docs/results/convex.py cost
	OMP_NUM_THREADS=1 $(BIN)/python docs/results/convex.py table
	OMP_NUM_THREADS=1 $(BIN)/python docs/results/convex_energy.py
	OMP_NUM_THREADS=1 $(BIN)/python docs/results/convex_energy.py table

# Two commands at a time share the runs between them.
study-plane: install
	seq 2 | OMP_NUM_THREADS=1 xargs -P 2 -I '{}' $(BIN)/python docs/results/plane.py
	OMP_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=65536 $(BIN)/python docs/results/plane.py cost
	OMP_NUM_THREADS=1 $(BIN)/python docs/results/plane.py table

study: install
	$(BIN)/python docs/results/l2_vs_transport.py full

install: .venv/installed

.venv/installed: requirements.txt constraints.txt oracles.txt pyproject.toml $(wildcard plugins/*/pyproject.toml)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r oracles.txt
	touch $@
