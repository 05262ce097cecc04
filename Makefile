# `make demo` and `make test` are all that a new user needs; both make the environment first, and reuse it after.
PYTHON ?= python3
PORT ?= 8080
VENV := .venv
INSTALLED := $(VENV)/.installed
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help install demo up test test-integration lint lock docs repro plots clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

install: $(INSTALLED) ## the environment, .venv

# torch comes first and alone, so that a machine without a GPU that offers a CPU build of this version gets it
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "fsat needs Python 3.11 to 3.13, $(PYTHON) is %d.%d: make PYTHON=python3.11 ..." % v)'
	@echo "Installing into $(VENV): some minutes and about 3 GB, once."
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt torch==2.13.0
	$(PIP) install --quiet -c constraints.txt -e '.[airflow,distributed,dvc,dev]'
	$(PIP) check
	@touch $@

demo: $(INSTALLED) ## the DAG fsat_tune on the demo task, with Airflow on SQLite
	@dags/demo.sh

up: $(INSTALLED) ## Airflow with its scheduler and UI, at 127.0.0.1:8080 (or PORT=...), until Ctrl-C
	@exec fsat airflow up --port $(PORT)

# a worker a core, and at most four: each takes about 2 GB; a file's tests share what they have made
test: $(INSTALLED) ## the test suite
	pytest -q --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-integration: $(INSTALLED) ## the test on a cluster: PostgreSQL, Redis, Airflow with CeleryExecutor, a worker that is killed
	@tests/distributed/install.sh
	pytest -q -m distributed tests/distributed

lint: $(INSTALLED) ## ruff, mypy, import contracts, generated docs, Dockerfiles, known vulnerabilities
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	cog --check docs/cli.md
	NO_MKDOCS_2_WARNING=1 mkdocs build --quiet --strict
	hadolint --failure-threshold style docker/*.Dockerfile
	python docker/audit.py

lock: $(INSTALLED) ## write docker/*.lock again, from pyproject.toml and constraints.txt
	python docker/lock.py

docs: $(INSTALLED) ## the documentation as a site, at 127.0.0.1:8000, until Ctrl-C
	cog -r docs/cli.md
	NO_MKDOCS_2_WARNING=1 mkdocs serve --quiet

repro: $(INSTALLED) ## the same steps through DVC
	dvc repro

plots: $(INSTALLED) ## the plots of DVC, in a page that needs no internet
	@python docs/offline_plots.py
	dvc plots show

clean: ## remove the environment, the store and Airflow's files
	rm -rf $(VENV) .fsat .airflow outputs
