"""Measure how much longer a run takes with Airflow, by `airflow dags test` or by a LocalExecutor, than with `fsat run`.

python -m benchmarks.orchestration [--task support-intents] [--out FOLDER]

Run this in the repository's root. Each run has an empty store. `airflow dags test` runs one Airflow task after the other in
one process. With the LocalExecutor, each Airflow task waits for the scheduler and has its own process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from benchmarks.command import about, add_out_option, save
from fsat_tasks.integrations.airflow_processes import serve
from fsat_tasks.integrations.airflow_server import environment, login, prepare

DAG, RUN = "fsat_tune", "benchmark"
PORT = 8790
LONGEST = 3600
"""Maximum seconds of a run."""
OVERHEAD, SECONDS, WAIT = 1.5, 10.0, 3.0
"""Goals. `dags test` takes at most OVERHEAD times as long as `fsat run`, plus SECONDS. A task waits at most WAIT seconds."""

Figures = dict[str, Any]
console = Console(stderr=True, soft_wrap=True, highlight=False)


def by_hand(task: str) -> Figures:
    """Time `fsat run` in its own process."""
    return {"seconds": _timed([str(Path(sys.executable).with_name("fsat")), "run", task, "--json"], dict(os.environ), held=3)}


def in_one_process(task: str, home: Path) -> Figures:
    """Time `airflow dags test`. The time to create Airflow's database is not counted."""
    prepare(home)
    command = [str(Path(sys.executable).with_name("airflow")), "dags", "test", DAG, "--conf", json.dumps({"task": task})]
    return {"seconds": _timed(command, environment(home))}


def _timed(command: Sequence[str], variables: Mapping[str, str], held: int = 0) -> float:
    """Time a command in seconds.

    Args:
        held: an exit code besides 0 that is not an error. `fsat run` ends with such a code if the gates held the model.

    Raises:
        ChildProcessError: the exit code of the command is neither 0 nor `held`.
    """
    started = time.perf_counter()
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode not in (0, held):
        raise ChildProcessError(f"{' '.join(command[:3])}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return time.perf_counter() - started


def with_local_executor(task: str, home: Path) -> Figures:
    """Time a run that Airflow's scheduler starts: each task's seconds, and its wait after the previous task ended."""
    prepare(home)
    with serve(home, PORT), httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=60) as client:
        user, password = login(home) or ("", "")
        answer = client.post("/auth/token", json={"username": user, "password": password}).raise_for_status()
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        runs = f"/api/v2/dags/{DAG}/dagRuns"
        client.post(runs, json={"dag_run_id": RUN, "logical_date": None, "conf": {"task": task}}).raise_for_status()
        for _ in range(LONGEST // 2):
            if (dag_run := client.get(f"{runs}/{RUN}").raise_for_status().json())["state"] not in ("queued", "running"):
                break
            time.sleep(2)
        else:
            raise TimeoutError(f"the run did not end within {LONGEST} seconds")
        tries = client.get(f"{runs}/{RUN}/taskInstances").raise_for_status().json()["task_instances"]
    ran = sorted((_time(one["start_date"]), _time(one["end_date"]), one["task_id"]) for one in tries if one["start_date"])
    began = _time(dag_run["start_date"])
    tasks = [
        {"task": name, "seconds": end - start, "waited": start - max([began, *(other for _, other, _ in ran if other <= start)])}
        for start, end, name in ran
    ]
    return {"state": dag_run["state"], "seconds": _time(dag_run["end_date"]) - began, "tasks": tasks}


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def run(task: str, folder: Path) -> Figures:
    """Run all three ways, each with a store of its own."""
    shutil.copytree(Path(os.environ.get("FSAT_DATA", "data")) / task, folder / "data" / task)
    os.environ["FSAT_DATA"] = str(folder / "data")
    found: Figures = {}
    ways: dict[str, Callable[[], Figures]] = {
        "by_hand": lambda: by_hand(task),
        "in_one_process": lambda: in_one_process(task, folder / "one"),
        "local_executor": lambda: with_local_executor(task, folder / "local"),
    }
    for name, work in ways.items():
        os.environ["FSAT_STORE"] = str(folder / f"store-{name}")
        found[name] = work()
        console.print(f"{name}: {found[name]['seconds']:.1f} s", markup=False)
    return found


def markdown(results: Figures) -> str:
    """Return the results page."""
    place, (hand, one, local) = results["machine"], (results[name] for name in ("by_hand", "in_one_process", "local_executor"))
    waits = [entry["waited"] for entry in local["tasks"]]
    return (
        "\n".join(
            [
                "# Orchestration",
                "",
                "Written by `python -m benchmarks.orchestration`.",
                "",
                f"{place['cpu']}, {place['cores']} cores, {place['ram_gb']} GB; Airflow {results['airflow']}; "
                f"commit {results['commit']};"
                f" load average before {results['load_average']:.1f}. The task {results['task']}, each time on a cold store.",
                "",
                "| what | seconds | to reach |",
                "| --- | --- | --- |",
                f"| `fsat run` | {hand['seconds']:.1f} | |",
                f"| `airflow dags test {DAG}` | {one['seconds']:.1f} | {OVERHEAD * hand['seconds'] + SECONDS:.1f}:"
                f" {OVERHEAD:g} times that and {SECONDS:.0f} |",
                f"| LocalExecutor, ended as {local['state']} | {local['seconds']:.1f} | |",
                "",
                f"Under the LocalExecutor a task waits {max(waits):.1f} s at most, {sum(waits):.1f} s together, "
                f"from the end of what ran"
                f" before it; to reach: {WAIT:.0f} s.",
                "",
                "| task | waited, s | ran, s |",
                "| --- | --- | --- |",
                *(f"| {entry['task']} | {entry['waited']:.1f} | {entry['seconds']:.1f} |" for entry in local["tasks"]),
            ]
        )
        + "\n"
    )


def main() -> int:
    """Return the exit code, which is 0."""
    from importlib.metadata import version

    parser = argparse.ArgumentParser(prog="python -m benchmarks.orchestration", description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="support-intents", help="a task folder; default %(default)s")
    add_out_option(parser)
    options = parser.parse_args()
    facts = {**about(), "task": options.task, "airflow": version("apache-airflow")}
    with tempfile.TemporaryDirectory() as folder:
        results = {**facts, **run(options.task, Path(folder))}
    save(options.out, "orchestration", results, markdown(results))
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
