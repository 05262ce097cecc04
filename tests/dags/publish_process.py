"""The task `publish` of fsat_tune on a task that has a champion. Usage: python publish_process.py RESULT TASK CASES.

CASES are pairs: the champion's version when `decide` judged the model, and the number of the try. RESULT becomes a JSON file: for
each case, the events that the task sends.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, os.environ["AIRFLOW__CORE__DAGS_FOLDER"])


class Outlet:
    """Stand-in for Airflow's accessor of an alias: it keeps the events that are added."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def add(self, asset: Any, extra: dict[str, Any]) -> None:
        self.events.append({"asset": asset.name, "version": extra["version"]})


def main(result: str, task: str, cases: str) -> None:
    from fsat_dags import tune_tasks
    from fsat_tasks.registry.registry import Registry

    name = json.loads(task)
    champion = Registry(Path(os.environ["FSAT_STORE"]), name).champion()
    assert champion is not None
    params: dict[str, Any] = dict.fromkeys(("shots", "encoder", "seed", "device", "approval")) | {"dry_run": False}
    sent = []
    for replaces, try_number in json.loads(cases):
        outlet = Outlet()
        decided = {"chosen": {"task": name, "unlabelled": None}, "replaces": replaces, "key": champion["decision"]["key"]}
        ti = SimpleNamespace(try_number=try_number)
        tune_tasks.publish.function(decided, None, params, ti, {tune_tasks.CHAMPIONS: outlet})
        sent.append(outlet.events)
    Path(result).write_text(json.dumps({"sent": sent}), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
