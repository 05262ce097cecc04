# The steps as an Airflow worker: fsat with Airflow, DVC, torch and ONNX Runtime.
# Build from the repository root: docker build -f docker/worker.Dockerfile -t fsat-worker .

FROM python:3.11-slim-trixie AS base
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1


FROM base AS wheel
WORKDIR /build
COPY docker/build.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps --require-hashes --requirement build.lock
COPY pyproject.toml README.md ./
COPY fsat_tasks fsat_tasks
RUN pip wheel --no-index --no-build-isolation --no-deps --wheel-dir /wheels .


FROM base AS dependencies
# Empty: torch for CUDA 13, which onnxruntime-gpu needs too. For CPU only, the address of an index of CPU wheels.
ARG TORCH_INDEX=""
WORKDIR /build
COPY constraints.txt docker/build.lock docker/cuda.lock docker/worker.lock ./
# --no-deps: the locks have all of them, and pip check says so. One package has no wheel: setuptools of build.lock builds it.
# From TORCH_INDEX comes torch alone, unchecked, as its files are not those of PyPI: an index that you trust as this one.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/venv \
    && pip install --no-deps --require-hashes --requirement build.lock \
    && if [ -n "$TORCH_INDEX" ]; then \
         pip install --no-deps --index-url "$TORCH_INDEX" --constraint constraints.txt torch; \
       else \
         pip install --no-deps --require-hashes --only-binary :all: --requirement cuda.lock; \
       fi \
    && pip install --no-deps --require-hashes --no-build-isolation \
         --only-binary :all: --no-binary antlr4-python3-runtime --requirement worker.lock \
    && pip check


FROM base
ARG REVISION=""
LABEL org.opencontainers.image.title="fsat-worker" \
      org.opencontainers.image.description="fsat's steps as an Airflow worker and as a command line" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="$REVISION"

# git: dvc runs it. tini: signals reach the worker, which then finishes its tasks; ended children are reaped.
# /entrypoint: the Helm chart's probes call it.
# hadolint ignore=DL3008 # Debian keeps only the newest build of a package, so a pinned one would soon not install
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 50000 --gid 0 --create-home fsat \
    && install --directory --owner=50000 --group=0 --mode=0775 \
         /opt/airflow /opt/airflow/logs /opt/fsat /opt/fsat/data /var/lib/fsat \
    && ln --symbolic /usr/bin/env /entrypoint

ENV AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/fsat/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/fsat/dags/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    FSAT_DATA=/opt/fsat/data \
    FSAT_STORE=/var/lib/fsat \
    DVC_NO_ANALYTICS=1 \
    GX_ANALYTICS_ENABLED=false \
    HF_HUB_DISABLE_TELEMETRY=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    ORT_DISABLE_TELEMETRY=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

COPY --from=dependencies /opt/venv /opt/venv
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --no-deps /wheels/*.whl \
    && fsat --help > /dev/null
COPY docker/health.py /opt/fsat/
COPY dags /opt/fsat/dags

USER 50000:0
WORKDIR /opt/fsat
VOLUME ["/opt/fsat/data", "/var/lib/fsat", "/opt/airflow/logs"]
# 8793: a worker's task logs. 8080: the web pages of `airflow standalone`.
EXPOSE 8793 8080
HEALTHCHECK --interval=60s --timeout=40s --start-period=90s --retries=3 CMD ["python", "/opt/fsat/health.py"]
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["airflow", "celery", "worker"]
