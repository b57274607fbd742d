# make demo   sets everything up and runs the main job on a real trained network
# make test   sets everything up and passes the tests
# Both can be repeated; what is there already is not made again.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow coverage lint bench soak docs release setup clean

# Files go to the processes as they are listed, the long ones of tests/android first: by number of tests, as
# pytest-xdist would sort them, a file with one long test comes last and leaves a core idle.
PYTEST := $(BIN)/pytest --dist loadfile --no-loadscope-reorder
# More than the cores disturb tests that measure.
PROCESSES := 2
# The tests start hundreds of processes, each of which would compile edgekit anew.
unexport PYTHONDONTWRITEBYTECODE

demo: $(READY)
	@scripts/demo.sh

test: lint
	$(PYTEST) -n $(PROCESSES) -m "not slow" --cov --cov-report=
	@printf 'coverage of the test process itself: %s %% (with its children: make coverage)\n' \
	    "$$($(BIN)/coverage report --format=total)"

# Every process that the tests start is traced too, which takes half as long again.
coverage: $(READY)
	$(PYTEST) -n $(PROCESSES) -m "not slow" --cov --cov-config=scripts/coverage.toml --cov-report=term:skip-covered

test-slow: $(READY)
	$(PYTEST) -n $(PROCESSES) -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# Each benchmark prints its figures with their limits; the machine should be otherwise idle.
bench: $(READY)
	@scripts/bench.sh

# An hour of random commands, faults and kills; MINUTES=5 for less.
MINUTES := 60
soak: $(READY)
	@$(BIN)/python -m scripts.soak --minutes $(MINUTES)

# The site of docs/, to be opened from build/site/index.html without a network.
docs: $(READY)
	@$(BIN)/python -c 'import sphinx, furo, myst_parser' 2>/dev/null || $(BIN)/pip install -q -c constraints.txt -e '.[docs]'
	@$(BIN)/python scripts/build_docs.py

# dist/: the sdist and the wheel of this commit, the same bytes each time, and checked.
release: $(READY)
	@$(BIN)/python scripts/release.py

setup: $(READY)

$(READY): setup.cfg pyproject.toml constraints.txt scripts/setup.sh
	@scripts/setup.sh $(VENV)

clean:
	rm -rf $(VENV) build dist *.egg-info results .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
