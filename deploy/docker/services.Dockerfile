# syntax=docker/dockerfile:1.7
# One image a service: `make images`, or
#
#   docker build --file deploy/docker/services.Dockerfile --build-arg SERVICE=nlp --tag maas-mesh/nlp:0.1.0 .
#
# which needs `make protos`, and .build/images/assets for preprocessing (`make images` puts both there).
#
# What the container expects of whoever runs it:
#   user      65532:65532, no capability, a root that cannot be written to. HOME is /tmp: an emptyDir or tmpfs, in which
#             only preprocessing writes (PREPROCESSING_MAX_SPOOLED_BYTES for each video that must come whole), and vision
#             and router if their database is a SQLite file there
#   settings  <SERVICE>_* as in services/<service>/settings.py. Addresses have no default: set
#             <SERVICE>_LISTEN_ADDRESS=0.0.0.0:8000 (gRPC) and <SERVICE>_METRICS_ADDRESS=0.0.0.0:9090 (/metrics).
#             *_PREPROCESSING_ADDRESS=in-process needs the decoders, which only preprocessing's image has
#   health    grpc.health.v1 on the gRPC port: the service "" is ready or not, "liveness" is what its name says
#   signals   Python is process 1: SIGTERM drains for <SERVICE>_DRAIN_SECONDS and ends with 0
ARG BASE=python:3.11.14-slim-bookworm
ARG SERVICE

# ---- what is installed; pip, its cache and the compiler of bytecode stay here
FROM ${BASE} AS build
ARG SERVICE
WORKDIR /build
RUN python3 -m venv --without-pip /opt/maas
COPY pyproject.toml deploy/docker/requirements.py deploy/local/constraints.txt ./
# With a package registry of your own: --secret id=pip,src=$HOME/.config/pip/pip.conf
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/var/cache/pip \
    set -eu; \
    export PIP_CACHE_DIR=/var/cache/pip; \
    python3 requirements.py pyproject.toml "${SERVICE}" > requirements.txt; \
    python3 -m pip --python /opt/maas/bin/python3 install --quiet --disable-pip-version-check --no-compile \
      --only-binary :all: --constraint constraints.txt --requirement requirements.txt; \
    find /opt/maas -depth -type d \( -name test -o -name tests \) -exec rm -r {} +
COPY services services
COPY protos/maas maas
# The bytecode is written now, since nothing can be written later, and never checked, since nothing changes later.
RUN set -eu; \
    mkdir -p /opt/maas/app/services; \
    cp services/__init__.py /opt/maas/app/services; \
    for part in client mesh preprocessing "${SERVICE}"; do cp -R "services/${part}" /opt/maas/app/services; done; \
    cp -R maas /opt/maas/app; \
    echo /opt/maas/app > "$(/opt/maas/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/app.pth"; \
    printf '#!/bin/sh\nexec /opt/maas/bin/python3 -m services.%s "$@"\n' "${SERVICE}" > /opt/maas/bin/serve; \
    chmod 0755 /opt/maas/bin/serve; \
    /opt/maas/bin/python3 -m compileall -q --invalidation-mode unchecked-hash /opt/maas/lib /opt/maas/app

# ---- what runs
FROM ${BASE} AS runtime
# The base's own installer has nothing to do there.
RUN find /usr -depth \( -path '*/python3*/pip' -o -path '*/python3*/pip-*' -o -path '*/python3*/setuptools*' \
      -o -path '*/python3*/wheel' -o -path '*/python3*/wheel-*' -o -path '*/python3*/pkg_resources' \
      -o -path '*/python3*/ensurepip' -o -path '*/share/python-wheels' -o -path '*/bin/pip*' -o -path '*/bin/wheel' \) \
      -exec rm -r {} +
COPY --from=build /opt/maas /opt/maas
# OMP: a second thread an operation only takes time from other calls.
ENV PATH=/opt/maas/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    GRPC_VERBOSITY=ERROR
WORKDIR /tmp
EXPOSE 8000 9090
USER 65532:65532
ENTRYPOINT ["/opt/maas/bin/serve"]

# ---- what only one of them has
FROM runtime AS nlp
FROM runtime AS vision
FROM runtime AS speech
FROM runtime AS router
FROM runtime AS models
FROM runtime AS preprocessing
COPY .build/images/assets /opt/maas/assets
ENV PREPROCESSING_ASSETS_DIRECTORY=/opt/maas/assets

FROM ${SERVICE}
ARG SERVICE
LABEL org.opencontainers.image.title="maas-mesh/${SERVICE}" \
      org.opencontainers.image.description="The ${SERVICE} service of MaaS Mesh" \
      org.opencontainers.image.licenses="Apache-2.0"
