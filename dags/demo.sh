#!/usr/bin/env bash
# The DAG fsat_tune on one task, in a private Airflow: SQLite in .airflow, no server and no scheduler.
# Usage: dags/demo.sh [TASK]. Exit codes: 0 promoted, 1 the DAG run failed, 3 a gate held the model.
set -euo pipefail
cd "$(dirname "$0")/.."

task=${1:-support-intents}
export FSAT_DATA=${FSAT_DATA:-$PWD/data} FSAT_STORE=${FSAT_STORE:-$PWD/.fsat}
export AIRFLOW_HOME=$PWD/.airflow
export AIRFLOW__CORE__DAGS_FOLDER=$PWD/dags AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=sqlite:///$AIRFLOW_HOME/airflow.db

set_up() {
  airflow db migrate
  airflow pools set gpu 1 "Steps that may use the GPU: as many at once as there are GPUs"
  airflow pools set dvc 1 "DVC, which lets only one command at a time write"
}

# the database is made once, and again after an install that may have brought another Airflow
mkdir -p "$AIRFLOW_HOME"
if ! [ "$AIRFLOW_HOME/ready" -nt .venv/.installed ] || ! [ -f "$AIRFLOW_HOME/airflow.db" ]; then
  echo "Setting up Airflow in .airflow, once."
  set_up > "$AIRFLOW_HOME/setup.log" 2>&1 || { tail -n 20 "$AIRFLOW_HOME/setup.log" >&2; exit 1; }
  touch "$AIRFLOW_HOME/ready"
fi

log=$AIRFLOW_HOME/demo.log
echo "Airflow runs the DAG fsat_tune on $task (log: .airflow/demo.log)"
if ! airflow dags test fsat_tune --conf "{\"task\": \"$task\"}" 2>&1 | tee "$log" |
  sed -un 's/.*\[DAG TEST\] starting task_id=\([a-z_]*\) .*/  \1/p'; then
  echo "The DAG run failed:" >&2
  # the line that says what to do, or else the end of what is neither chatter nor warning
  grep -E '^fsat_tasks\.errors\.' "$log" >&2 || grep -vE '\[(info|warning) ' "$log" | tail -n 20 >&2
  exit 1
fi

# everything is in the store now: this only prints the gates, the decision and the paths
fsat publish "$task"
