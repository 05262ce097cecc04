# Airflow's control plane: api-server, scheduler, dag-processor, triggerer. No torch, transformers or ONNX Runtime.
# Build from the repository root: docker build -f docker/control.Dockerfile -t fsat-control .

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
WORKDIR /build
COPY docker/control.lock ./
# --no-deps: the lock has all of them, and pip check says so
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/venv \
    && pip install --no-deps --require-hashes --only-binary :all: --requirement control.lock \
    && pip check


FROM base
ARG REVISION=""
LABEL org.opencontainers.image.title="fsat-control" \
      org.opencontainers.image.description="Airflow's control plane with fsat's DAGs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="$REVISION"

# tini: signals reach the component; ended children are reaped. /entrypoint: the Helm chart's probes call it.
# hadolint ignore=DL3008 # Debian keeps only the newest build of a package, so a pinned one would soon not install
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
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
    ORT_DISABLE_TELEMETRY=1

COPY --from=dependencies /opt/venv /opt/venv
# --no-deps: what DAG files import of fsat needs only what reading a task.yaml needs, which is in control.lock
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --no-deps /wheels/*.whl
COPY docker/health.py /opt/fsat/
COPY dags /opt/fsat/dags
# a DAG file that needs more than this image has fails the build; what Airflow writes here, a new Fernet key too, is not kept
RUN --mount=type=tmpfs,target=/tmp \
    AIRFLOW_HOME=/tmp/airflow PYTHONPATH=/opt/fsat/dags python -c "import sys; from airflow.dag_processing.dagbag import DagBag; sys.exit(DagBag().import_errors or 0)"

USER 50000:0
WORKDIR /opt/fsat
VOLUME ["/opt/fsat/data", "/opt/airflow/logs"]
# 8080: the web pages and the API. 8794: a triggerer's logs.
EXPOSE 8080 8794
HEALTHCHECK --interval=60s --timeout=40s --start-period=90s --retries=3 CMD ["python", "/opt/fsat/health.py"]
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["airflow", "api-server"]
