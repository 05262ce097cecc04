#!/usr/bin/env bash
# Run the DAG fsat_tune on one task, in a private Airflow: SQLite in .airflow, no server and no scheduler.
# Usage: dags/demo.sh [TASK]. Exit codes: 0 promoted, 1 the DAG run failed, 3 a gate held the model.
set -euo pipefail
cd "$(dirname "$0")/.."

task=${1:-support-intents}
fsat airflow init

log=.airflow/demo.log
echo "Airflow runs the DAG fsat_tune on $task (log: $log)"
if ! fsat airflow exec -- dags test fsat_tune --conf "{\"task\": \"$task\"}" 2>&1 | tee "$log" |
  sed -un 's/.*\[DAG TEST\] starting task_id=\(model\.\)\?\([a-z_]*\) .*/  \2/p'; then
  echo "The DAG run failed:" >&2
  # print the line that says what to do; if there is none, the last lines of the log without Airflow's infos and warnings
  grep -E '^fsat_tasks\.errors\.' "$log" >&2 || grep -vE '\[(info|warning) ' "$log" | tail -n 20 >&2
  exit 1
fi

# all artefacts are in the store now, so this only prints the gates, the decision and the paths
fsat publish "$task"
