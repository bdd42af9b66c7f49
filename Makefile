# Bare `make` prints what there is. Every target rebuilds only what changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUILD := .build
PROTOS := $(shell find protos -name '*.proto')
SITE = $(shell $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help: ## show this help
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## create the virtual environment and install the pinned dependencies
$(VENV)/.installed: pyproject.toml deploy/local/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' || { echo "MaaS Mesh needs Python 3.11 or 3.12; name one with: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint deploy/local/constraints.txt --editable '.[local,dev]'
	@touch $@

protos: $(BUILD)/protos/maas.binpb ## generate Python code and the descriptor set from protos/
# The error details are in the set because the gateway turns them into JSON.
$(BUILD)/protos/maas.binpb: $(PROTOS) $(VENV)/.installed
	@mkdir -p $(@D)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m grpc_tools.protoc -Iprotos -I$(SITE) \
	  --python_out=protos --grpc_python_out=protos --mypy_out=quiet:protos --mypy_grpc_out=quiet:protos $(PROTOS)
	$(BIN)/python -m grpc_tools.protoc -Iprotos -I$(SITE) --include_imports --include_source_info \
	  --descriptor_set_out=$@ $(PROTOS) google/rpc/error_details.proto

.PHONY: help install protos
