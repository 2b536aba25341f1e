# Two commands for a newcomer: `make demo` and `make test`. Both need Python >= 3.11, make and a C compiler.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint types docs kitchen lowest clean

demo: $(READY)
	$(BIN)/transpose demo --out demo

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal  # one thread each: two workers on two cores

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# The site of docs/, into site/; needs the extra docs.
docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt '.[docs]'
	$(BIN)/mkdocs build

# The figures of the README's table on real data; takes about half an hour.
kitchen: $(READY)
	$(BIN)/python benchmarks/kitchen.py --source ../shared/data/kitchen --out results/kitchen

# The tests with the lowest versions that pyproject.toml admits; installs some GB into /tmp/lowest.
lowest:
	.ci/lowest /tmp/lowest -n 2

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || (echo "Python 3.11 or later is needed; set PYTHON=" && exit 1)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[fusion,geo,sfm,serve,viewer,export,dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) demo build dist *.egg-info
