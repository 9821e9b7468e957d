# The project's verbs. Each does its own set-up; only make, Python and pip are needed.

VENV ?= .venv
BIN := $(VENV)/bin
KFP_VENV := $(VENV)-kfp
SOURCES := $(shell find components -name '*.py' -o -name '*.jinja')
REQUIREMENTS := container/requirements
IMAGE ?= tfx-lr-finder:$(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)

# Python's own bytecode makes every import of TFX two to three times faster.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo taxi kubeflow image kubeflow-local test lint types suite unit integration docs container test-image quality bench lock clean

demo: $(VENV)/installed  ## Runs the penguin pipeline and shows what it found.
	PYTHONPATH=pipelines $(BIN)/python -m penguin.run_local output/penguin

taxi: $(VENV)/installed  ## Runs the taxi pipeline: a Tuner, the finder, 15,000 trips.
	PYTHONPATH=pipelines $(BIN)/python -m taxi.run_local output/taxi

kubeflow: $(VENV)/installed  ## Compiles the penguin pipeline for Kubeflow Pipelines.
	PYTHONPATH=pipelines $(BIN)/tfx-lr-finder compile penguin.kubeflow:create_pipeline \
		--image $(IMAGE) --output output/penguin.yaml

image: $(VENV)/installed  ## Builds the container image, with docker or podman.
	container/build.sh $(IMAGE)

kubeflow-local: image $(KFP_VENV)/installed  ## Runs the penguin pipeline as Kubeflow would, each task in a container.
	PYTHONPATH=pipelines $(BIN)/python -m penguin.run_kubeflow_local $(IMAGE) output/kubeflow $(KFP_VENV)/bin/python

test: lint types suite docs  ## Every check; with CI=true the slow tests, too.

lint: $(VENV)/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	PYTHONPATH=components $(BIN)/lint-imports --no-cache >$(VENV)/layers || { cat $(VENV)/layers; false; }

types: $(VENV)/installed
	$(BIN)/mypy

# The tests of a file share what takes long, so a file stays in one process. The folders with the
# long files come first; pytest collects folders in the order of its arguments if none is in another.
LONG_FIRST := $(addprefix tests/,system/ training/ project/ search/ doors/)
TESTS := $(LONG_FIRST) $(filter-out $(LONG_FIRST),$(sort $(dir $(wildcard tests/*/test_*.py))))
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder \
	$(if $(filter true,$(CI)),-m "not container")

suite: $(VENV)/installed  ## All tests, in two processes.
	$(PYTEST) $(TESTS)

unit: $(VENV)/installed
	$(PYTEST) tests/core

integration: $(VENV)/installed
	$(PYTEST) tests/system

docs: $(VENV)/installed  ## Builds the documentation: output/docs/index.html.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict # --quiet would let warnings pass

quality: $(VENV)/installed  ## How good the rates are; SUBSET=1 for five minutes, LONG=1 for long trainings.
	PYTHONPATH=tests/benchmarks $(BIN)/python -m quality$(if $(LONG),.long) $(if $(SUBSET),--subset)

bench: $(VENV)/installed  ## What a sweep costs, beside its limit and the peers; PART=1 for one part of six.
	PYTHONPATH=tests/benchmarks $(BIN)/python -W ignore -m speed $(if $(PART),--part $(PART))

container: image $(KFP_VENV)/installed  ## Tests the image, and the pipeline in it.
	$(BIN)/python -m pytest -m container tests/system

test-image: $(VENV)/installed  ## Runs the tests in the image, on TFX 1.21.
	container/build.sh $(IMAGE)-test test
	$$(container/engine.sh) run --rm --volume $(CURDIR):/project:ro $(IMAGE)-test

# What the tests test is the wheel, not the working tree.
$(VENV)/installed: $(SOURCES) pyproject.toml README.md LICENSE $(VENV)/environment
	rm -rf dist
	$(BIN)/hatchling build --target wheel >/dev/null
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --reinstall dist/*.whl
	touch $@

$(VENV)/environment: container/create-environment.sh $(wildcard $(REQUIREMENTS)/*-dev.txt)
	container/create-environment.sh $(VENV)
	touch $@

# kfp.local needs a newer protobuf than TFX 1.16.
$(KFP_VENV)/installed: $(REQUIREMENTS)/kfp-local.txt $(VENV)/environment
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(KFP_VENV)
	$(BIN)/uv pip install --quiet --python $(KFP_VENV)/bin/python \
		--no-deps --require-hashes --compile-bytecode --requirement $<
	touch $@

lock: $(VENV)/environment  ## Resolves the dependencies anew, for both TFX versions.
	container/lock.sh $(BIN)/uv

clean:
	rm -rf $(VENV) $(KFP_VENV) dist output
