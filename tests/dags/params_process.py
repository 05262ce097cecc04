"""What the DAGs' functions say to hostile params, in a process of its own. Usage: python params_process.py RESULT OUTSIDE.

RESULT becomes a JSON file: `free`, the params of text that is not chosen from a list, as DAG.PARAM; and `said`, what each hostile
value ends in, for each of these and for what an asset event, or `find` of fsat_apply, may name.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

DAGS = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
TASK = "task-0"


def hostile(outside: str) -> list[str]:
    """Ways out of the data root, by '..', from the root and by a link; a NUL; and what a shell would make something of."""
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


def functions() -> dict[str, Callable[[str], Any]]:
    """Each text that a person or an event gives, and the function that gets it first."""
    import fsat_apply
    import fsat_tasks.traffic.predictions as predictions
    import fsat_tune_tasks
    import fsat_watch
    from fsat_tasks.encoders.source import find_encoder

    predictions.champion_model = lambda name, store=None: None  # type: ignore[assignment,misc,attr-defined]
    fsat_apply.get_current_context = dict  # type: ignore[attr-defined]
    none: dict[str, Any] = dict.fromkeys(("shots", "encoder", "seed", "device", "approval")) | {"dry_run": False}

    def load(task: str = TASK, unlabelled: str | None = None, encoder: str | None = None) -> Any:
        return fsat_tune_tasks.load(none | {"encoder": encoder}, {"task": task, "unlabelled": unlabelled})

    return {
        "fsat_tune.unlabelled": lambda value: load(unlabelled=value),
        "fsat_tune.encoder": lambda value: find_encoder(load(encoder=value).spec.encoder.name),
        "fsat_apply.files": lambda value: fsat_apply.find_new(params={"task": TASK, "files": value}),
        "fsat_watch.traffic": lambda value: fsat_watch.watch_window(params={"task": TASK, "traffic": value}),
        "event.task": lambda value: load(task=value),
        "found.file": lambda value: fsat_apply.label_file(value, params={"task": TASK}),
    }


def said(function: Callable[[str], Any], value: str) -> str:
    from fsat_tasks.errors import InputError

    try:
        return f"accepted: {function(value)!r}"
    except InputError:
        return "bad input"
    except Exception as error:
        return repr(error)[:200]


def main(result: str, outside: str) -> None:
    sys.path.insert(0, DAGS)
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(DAGS)
    params = {f"{dag.dag_id}.{name}": dag.params.get_param(name).schema for dag in bag.dags.values() for name in dag.params}
    free = [name for name, schema in params.items() if "string" in schema["type"] and "enum" not in schema]
    values = hostile(json.loads(outside))
    told = {name: {value: said(function, value) for value in values} for name, function in functions().items()}
    Path(result).write_text(json.dumps({"errors": bag.import_errors, "free": sorted(free), "said": told}), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
