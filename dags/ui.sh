#!/usr/bin/env bash
# Airflow with its UI, scheduler and workers until Ctrl-C. The UI is for this machine only, at port FSAT_UI_PORT or 8080.
set -euo pipefail
cd "$(dirname "$0")/.."

port=${FSAT_UI_PORT:-8080}
listens() { (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null; }
if listens; then
  echo "Port $port is in use. Give another one: make ui FSAT_UI_PORT=8090" >&2
  exit 1
fi

. dags/airflow.env.sh
export AIRFLOW__CORE__EXECUTOR=LocalExecutor AIRFLOW__CORE__PARALLELISM=4
export AIRFLOW__API__HOST=127.0.0.1 AIRFLOW__API__PORT=$port AIRFLOW__API__BASE_URL=http://127.0.0.1:$port
# Airflow's log servers listen on every address, but answer signed requests only
export AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT=$((port + 1)) AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT=$((port + 2))

# in a session of its own: Ctrl-C comes to this script alone, and whatever Airflow started can be found
python - > "$AIRFLOW_HOME/ui.log" 2>&1 << 'END' &
import os, signal
os.setsid()
signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it, and so would Airflow
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.execvp("airflow", ["airflow", "standalone"])
END
airflow=$!

# standalone ends its parts when interrupted, and leaves them behind when terminated; 20 seconds later its session is ended
stop() {
  trap '' INT TERM HUP
  kill -INT "$airflow" 2> /dev/null || true
  for signal in TERM KILL; do
    for _ in {1..100}; do
      pgrep -s "$airflow" > /dev/null || return 0
      sleep 0.2
    done
    pkill -"$signal" -s "$airflow" || true
  done
}
trap stop EXIT
trap 'echo; echo "Airflow stops."; exit 0' INT TERM HUP

echo "Airflow starts (log: .airflow/ui.log)"
until listens; do
  kill -0 "$airflow" 2> /dev/null || { tail -n 20 "$AIRFLOW_HOME/ui.log" >&2; exit 1; }
  sleep 0.5
done
echo "The UI: http://127.0.0.1:$port/dags/fsat_tune"
echo "Log in as admin, with the password in .airflow/simple_auth_manager_passwords.json.generated"
echo "Ctrl-C stops it."
wait "$airflow"
