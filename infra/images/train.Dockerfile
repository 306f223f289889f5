# The box that trains: flows, jobs, Prefect's worker and the servers of the stack, with PyTorch for CPUs.
# `make image-train` builds it; by hand, in the project's folder:
#   docker build -f infra/images/train.Dockerfile --build-arg BASE=python:3.11-slim .
# TORCH=cu130 (uv's name of a CUDA build) takes that build in place of the one for CPUs.
ARG BASE

FROM ${BASE} AS build
# With bytecode: every flow run is a process of its own, whose start would take several times as long.
ENV UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 UV_LINK_MODE=copy PIP_NO_CACHE_DIR=1 VIRTUAL_ENV=/opt/venv
COPY requirements/dev.txt requirements/train.txt /build/
# uv in the pinned version, in an environment that stays behind in this stage.
RUN grep '^uv==' /build/dev.txt >/build/uv.txt \
 && python3 -m venv /build/venv \
 && /build/venv/bin/pip install --quiet --requirement /build/uv.txt \
 && /build/venv/bin/uv venv --quiet --python "$(command -v python3)" /opt/venv
ARG TORCH=cpu
# The list is complete, so nothing is resolved. A CPU wheel in a configured find-links goes before PyTorch's own index.
RUN grep -v '^torch==' /build/train.txt >/build/packages.txt \
 && grep '^torch==' /build/train.txt >/build/torch.txt \
 && uv=/build/venv/bin/uv \
 && "$uv" pip install --quiet --no-deps --requirement /build/packages.txt \
 && if [ "$TORCH" != cpu ]; then "$uv" pip install --quiet --torch-backend "$TORCH" --requirement /build/torch.txt; \
    else "$uv" pip install --quiet --no-deps --no-index --requirement /build/torch.txt 2>/dev/null \
      || "$uv" pip install --quiet --no-deps --torch-backend cpu --requirement /build/torch.txt; fi
# What no container needs goes: tests, headers, debug symbols. `strip` is used once, in whichever version there is.
COPY bentos/_lean.py /build/
# hadolint ignore=DL3008
RUN { command -v strip >/dev/null || { apt-get update -qq && apt-get install -qq -y --no-install-recommends binutils; } \
      || echo 'binutils cannot be installed'; } \
 && /opt/venv/bin/python /build/_lean.py /opt/venv
WORKDIR /srv/har
COPY . .
# What a service writes lies in volumes on these folders. A checkout may be private to its user: open it for reading.
RUN /build/venv/bin/uv pip install --quiet --no-deps --editable . \
 && /opt/venv/bin/python -m compileall -q bentos flows infra src \
 && mkdir -p data lake reports runs mlruns .bentoml .prefect \
 && chmod -R a+rX,go-w /srv/har \
 && chown 1034:1034 data lake reports runs mlruns .bentoml .prefect

FROM ${BASE}
ARG COMMIT=""
ARG VERSION=""
ARG CREATED=""
ARG NAME=har
ARG BASE
RUN groupadd --gid 1034 har && useradd --uid 1034 --gid 1034 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin har
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/har /srv/har
RUN printf '%s\n' "$COMMIT" >/srv/har/COMMIT
WORKDIR /srv/har
# Only volumes and /tmp can be written to.
ENV PATH=/opt/venv/bin:$PATH \
    HAR_ROOT=/srv/har \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GIT_PYTHON_REFRESH=quiet \
    DO_NOT_TRACK=true \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    MLFLOW_DISABLE_TELEMETRY=true \
    WHYLOGS_NO_ANALYTICS=1 \
    BENTOML_DO_NOT_TRACK=true \
    ORT_DISABLE_TELEMETRY=1
LABEL org.opencontainers.image.title="${NAME}-train" \
      org.opencontainers.image.description="Flows, jobs and Prefect's worker." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE}"
USER 1034:1034
# Of the worker; a container that runs something else brings a check of its own.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health', timeout=3)"]
CMD ["prefect", "worker", "start", "--pool", "local", "--type", "process", "--with-healthcheck"]
