# The project's verbs. Each does its own set-up; only make, Python and pip are needed.

VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := $(shell find components -name '*.py')
REQUIREMENTS := container/requirements
IMAGE ?= tfx-lr-finder:$(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)

# Python's own bytecode makes every import of TFX two to three times faster.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo kubeflow test lint types unit integration lock clean

demo: $(VENV)/installed  ## Runs the penguin pipeline and shows what it found.
	PYTHONPATH=pipelines $(BIN)/python -m penguin.run_local output/penguin

kubeflow: $(VENV)/installed  ## Compiles the penguin pipeline for Kubeflow Pipelines.
	PYTHONPATH=pipelines $(BIN)/python -m penguin.compile_kubeflow --image $(IMAGE) --output output/penguin.yaml

test: lint types unit integration  ## Every check.

lint: $(VENV)/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/installed
	$(BIN)/mypy

unit: $(VENV)/installed
	$(BIN)/python -m pytest tests/unit

integration: $(VENV)/installed
	$(BIN)/python -m pytest tests/integration

# What the tests test is the wheel, not the working tree.
$(VENV)/installed: $(SOURCES) pyproject.toml README.md LICENSE $(VENV)/environment
	rm -rf dist
	$(BIN)/hatchling build --target wheel >/dev/null
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --reinstall dist/*.whl
	touch $@

$(VENV)/environment: container/create-environment.sh $(wildcard $(REQUIREMENTS)/*-dev.txt)
	container/create-environment.sh $(VENV)
	touch $@

lock: $(VENV)/environment  ## Resolves the dependencies anew, for both TFX versions.
	container/lock.sh $(BIN)/uv

clean:
	rm -rf $(VENV) dist output
