# Targets: train, test, lint, docs, clean. Options of the command: make train ARGS="--dataset citation --seed 1".
PYTHON ?= python3
TORCH  := $(shell sed -n 's/^torch==//p' constraints.txt)
BIN    := .venv/bin
READY  := .venv/.ready
ARGS   ?=

.PHONY: train test lint docs clean
.DELETE_ON_ERROR:

train: $(READY)
	$(BIN)/mixq-rl train $(ARGS)

# One process of tests for each core, with one thread each. All tests, with the slow ones: make test ARGS='-m ""'.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist worksteal -m "not slow" $(ARGS)

# mypy reads the package as a user gets it, from the wheel, so that the mapping of the folders is checked too.
lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build && mkdir -p build/lint
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --target build/lint/site .
	cd build/lint && MYPYPATH=site ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir .mypy_cache -p mixq_rl

# The site, in build/site; a warning is an error. To see changes at once: .venv/bin/mkdocs serve.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# torch comes first: whatever depends on it then takes the build that is there.
$(READY): pyproject.toml constraints.txt setup.py $(wildcard mixq_rl/kernels/cpp/*)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet torch==$(TORCH)
	$(BIN)/pip install --quiet --constraint constraints.txt setuptools pybind11
	$(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev,docs]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
