# Sourced by demo.sh and ui.sh in the repository root: a private Airflow in .airflow, made once, with the pools of the DAG.
export FSAT_DATA=${FSAT_DATA:-$PWD/data} FSAT_STORE=${FSAT_STORE:-$PWD/.fsat}
export AIRFLOW_HOME=$PWD/.airflow
export AIRFLOW__CORE__DAGS_FOLDER=$PWD/dags AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION=False
export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=sqlite:///$AIRFLOW_HOME/airflow.db

# the database is made once, and again after an install that may have brought another Airflow, or with new pools
mkdir -p -m 700 "$AIRFLOW_HOME" # it has the password of the UI
ready=$AIRFLOW_HOME/ready
if ! [ "$ready" -nt .venv/.installed ] || ! [ "$ready" -nt dags/airflow.env.sh ] || ! [ -f "$AIRFLOW_HOME/airflow.db" ]; then
  echo "Setting up Airflow in .airflow, once."
  {
    airflow db migrate &&
      airflow pools set gpu 1 "Steps that may use the GPU: as many at once as there are GPUs" &&
      airflow pools set dvc 1 "The repository's snapshots: one at a time"
  } > "$AIRFLOW_HOME/setup.log" 2>&1 || { tail -n 20 "$AIRFLOW_HOME/setup.log" >&2; exit 1; }
  touch "$ready"
fi
