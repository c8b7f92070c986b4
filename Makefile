# `make demo` and `make test` do all the set-up on a fresh machine with Python >= 3.11; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: help demo test test-all lint types wheel clean

help:
	@echo "make demo      install, then probe a small network on digits (about two minutes)"
	@echo "make test      install, then run the suite (at most 10 minutes on 2 cores)"
	@echo "make test-all  the suite with everything that takes minutes (at most 75 minutes)"
	@echo "make lint types wheel   ruff; mypy with its canary; sdist and wheel, tried from an empty folder"

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e '.[dev,onnx]' transformers
	$(PIP) install -c constraints.txt --no-deps torchvision timm  # resolving them would replace a CPU build of torch
	touch $@

demo: $(VENV)/installed
	$(BIN)/depthprobe grow examples/digits_convnet.py --dataset digits

test: $(VENV)/installed
	OMP_NUM_THREADS=1 DEPTHPROBE_SCREENSHOTS=build/screenshots $(BIN)/python -m pytest -m "not slow" -n 2 -q

test-all: $(VENV)/installed
	OMP_NUM_THREADS=1 DEPTHPROBE_SCREENSHOTS=build/screenshots $(BIN)/python -m pytest -n 2 -q --durations=15

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed
	bash .ci/types $(PYTHON)

wheel: $(VENV)/installed
	bash .ci/wheel $(PYTHON)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
