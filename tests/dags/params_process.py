"""Hostile params for the functions of the DAGs, in a process of its own. Usage: python params_process.py RESULT OUTSIDE.

RESULT becomes a JSON file with three keys. `free` has the params with free text, as DAG.PARAM. `said` has the outcome of each
hostile value, for each of these params, and for the names in an asset event or from `find` of fsat_apply. `chosen` has
the result of `choose` for no name, with one task and with two, and for a name that does not exist.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

DAGS = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
TASK = "task-0"


def hostile(outside: str) -> list[str]:
    """Return hostile values: ways out of the data root by '..', from the root and by a link; a NUL; and characters of a shell."""
    return [
        "../..",
        "../../..",
        "../../outside.csv",
        outside,
        str(Path(outside).parent),
        "/etc/passwd",
        "link.csv",
        "up/outside.csv",
        "../task-0/../../outside.csv",
        "a\0.csv",
        "~/.ssh/id_rsa",
        "$HOME/x.csv",
        "$(touch owned).csv",
        "`touch owned`.csv",
        "x; touch owned.csv",
        "x | touch owned",
        "-rf.csv",
        "x" * 5000,
        "file:///etc/passwd",
        "http://127.0.0.1/x.csv",
    ]


def choose(task: str | None) -> Any:
    """Return the tasks that `choose` of fsat_tune returns for a form with this task."""
    from fsat_dags import tune_tasks

    return tune_tasks.choose.function({"task": task, "unlabelled": None}, SimpleNamespace(run_type="manual"), {})


def functions() -> dict[str, Callable[[str], Any]]:
    """Return each text that a person or an event gives -> the function that gets it first."""

    import fsat_apply
    import fsat_watch
    from fsat_dags import tune_tasks
    from fsat_tasks.encoders.kinds import find_encoder
    from fsat_tasks.registry import champion_files
    from fsat_tasks.store import Artefact

    champion_files.champion_model = lambda task, store=None: Artefact(Path(), {})
    none: dict[str, Any] = dict.fromkeys(("shots", "encoder", "seed", "device", "approval")) | {"dry_run": False}

    def load(task: str = TASK, unlabelled: str | None = None, encoder: str | None = None) -> Any:
        return tune_tasks.load(none | {"encoder": encoder}, {"task": task, "unlabelled": unlabelled})

    return {
        "fsat_tune.task": choose,
        "fsat_tune.unlabelled": lambda value: load(unlabelled=value),
        "fsat_tune.encoder": lambda value: find_encoder(load(encoder=value).spec.encoder.name),
        "fsat_apply.task": lambda value: fsat_apply.find.function({"task": value, "files": None}),
        "fsat_apply.files": lambda value: fsat_apply.find.function({"task": TASK, "files": value}),
        "fsat_watch.task": lambda value: fsat_watch.watch_window.function({"task": value, "traffic": None}, None, None),
        "fsat_watch.traffic": lambda value: fsat_watch.watch_window.function({"task": TASK, "traffic": value}, None, None),
        "event.task": lambda value: load(task=value),
        "found.file": lambda value: fsat_apply.label.function({"task": TASK, "file": value}),
    }


def said(function: Callable[[str], Any], value: str) -> str:
    from fsat_tasks.errors import InputError

    try:
        return f"accepted: {function(value)!r}"
    except InputError:
        return "bad input"
    except Exception as error:
        return repr(error)[:200]


def complaint(task: str | None) -> str:
    """Return the error of `choose` for a form with this task."""
    from fsat_tasks.errors import InputError

    try:
        return f"accepted: {choose(task)!r}"
    except InputError as error:
        return str(error)


def main(result: str, outside: str) -> None:
    sys.path.insert(0, DAGS)
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(DAGS)
    params = {f"{dag.dag_id}.{name}": dag.params.get_param(name).schema for dag in bag.dags.values() for name in dag.params}
    free = [name for name, schema in params.items() if "string" in schema["type"] and "enum" not in schema]
    values = hostile(json.loads(outside))
    told = {name: {value: said(function, value) for value in values} for name, function in functions().items()}
    only = choose(None)
    other = Path(os.environ["FSAT_DATA"]) / "task-1"
    other.mkdir()
    (other / "task.yaml").write_text("samples: samples.csv\n", "utf-8")
    chosen = {"only": only, "several": complaint(None), "unknown": complaint("no-such-task")}
    answer = {"errors": bag.import_errors, "free": sorted(free), "said": told, "chosen": chosen}
    Path(result).write_text(json.dumps(answer), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
