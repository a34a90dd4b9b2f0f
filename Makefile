# Everything a person does with this checkout. `make` alone lists it.
#
#   make install            .venv with the package (EXTRAS=torch adds that extra; PYTHON=… names the interpreter)
#   make demo               the whole system on a built-in scene (DEMO_S=60 seconds; CLIP=file.mp4, MODEL=file.onnx|motion)
#   make test               all tests, with lint, types and import rules among them (ARGS='-k ring' for some;
#                           JOBS=0 one after the other; STREAMER_TEST_PATIENCE=10 on a very slow machine)
#   make test-lowered       the same as if on a simpler processor, without the corpus (LEVEL=avx2 or sse42)
#   make lint               ruff, mypy and import-linter alone
#   make bench              lists the benches; NAME=… runs one
#   make soak               a daemon that is struck by a fault a minute, and a report (HOURS=1, SEED=…; on a quiet machine)
#   make clean              removes .venv, caches and build output
#
# What is done is remembered in stamps, so that a second run starts at once.

VENV := .venv
EXTRAS ?=
DEMO_S ?= 60
CLIP ?=
MODEL ?=
ARGS ?=
JOBS ?= auto
LEVEL ?= avx2
NAME ?=
HOURS ?= 1
SEED ?=
PYTHON ?=

comma := ,
STAMPS := build/stamps
INSTALLED := $(VENV)/.installed$(if $(EXTRAS),-$(subst $(comma),-,$(EXTRAS)))
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check

SIDE_BY_SIDE := -n $(JOBS) --dist loadfile --no-loadscope-reorder

export PYTHON

.PHONY: help install demo test test-lowered lint bench soak clean

help:
	@sed -n 's/^#   //p' Makefile

install: $(INSTALLED)
	@echo "ready: $(VENV)/bin/streamer (next: make demo, or $(VENV)/bin/streamer --help)"

$(STAMPS)/system: deploy/setup.sh deploy/find-python.sh
	@deploy/setup.sh
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/test-system: deploy/setup.sh $(STAMPS)/system
	@deploy/setup.sh --tests
	@touch $@

$(INSTALLED): pyproject.toml $(STAMPS)/system
	@$(PIP) --version >/dev/null 2>&1 || { \
		echo "making $(VENV)"; "$$(deploy/find-python.sh)" -m venv --clear $(VENV); }
	@echo "installing the package and what it needs into $(VENV) (a few minutes the first time)"
	@$(PIP) install -qq --editable '.[dev$(if $(EXTRAS),$(comma)$(EXTRAS))]'
	@$(VENV)/bin/python -c 'import av, cv2, onnxruntime, openvino, streamer'
	@touch $@

demo: $(INSTALLED)
	@$(VENV)/bin/streamer demo --seconds $(DEMO_S) $(if $(CLIP),--clip '$(CLIP)') $(if $(MODEL),--model '$(MODEL)')

test: $(INSTALLED) $(STAMPS)/test-system
	@$(VENV)/bin/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

test-lowered: $(INSTALLED) $(STAMPS)/test-system
	@$(VENV)/bin/python -m tests.lowered $(LEVEL) $(SIDE_BY_SIDE) $(ARGS)

lint: $(INSTALLED)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

bench: $(INSTALLED)
	@$(VENV)/bin/python -m tests.bench $(or $(NAME),--list)

soak: export STREAMER_TEST_PATIENCE := $(or $(STREAMER_TEST_PATIENCE),1)
soak: $(INSTALLED) $(STAMPS)/test-system
	@$(VENV)/bin/python -m tests.faults.soak --hours $(HOURS) $(if $(SEED),--seed $(SEED))

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find pipelines streamer tests -name __pycache__ -type d -prune -exec rm -rf {} +
