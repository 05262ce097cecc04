"""Airflow with dags/fsat_schedules.py. Usage: python schedules_process.py RESULT CONF, as airflow_process.py.

CONF names the task whose DAG fsat_tune_TASK is run.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from airflow_process import DAGS, run


def when(dag: Any) -> dict[str, Any]:
    """Return the cron line and the assets' names, as the scheduler reads them from its database."""
    from airflow.serialization.serialized_objects import DagSerialization

    timetable = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable
    clock = getattr(timetable, "timetable", timetable)
    zone = getattr(clock, "_timezone", None)
    assets = [] if timetable.asset_condition is None else [ref.name for ref in timetable.asset_condition.iter_asset_refs()]
    return {"cron": getattr(clock, "_expression", None), "timezone": zone and zone.name, "assets": sorted(assets)}


def read_for(dag_id: str) -> list[str]:
    """Return the tasks whose task.yaml is read by a process that runs a task of this DAG."""
    import fsat_schedules

    with patch.dict(os.environ, {"_AIRFLOW_PARSING_CONTEXT_DAG_ID": dag_id}):
        return list(fsat_schedules.read_scheduled())


def main(result: str, conf: str) -> None:
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagrun import DagRun
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session
    from sqlalchemy import select

    sys.path.insert(0, DAGS)
    bag = DagBag(DAGS)
    own = {name: dag for name, dag in bag.dags.items() if "schedule" in dag.tags}
    initdb()
    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(bag, "dags-folder", None)  # what is started has to be known
    name = f"fsat_tune_{json.loads(conf)['task']}"
    done = run(own[name], {})
    with create_session() as session:
        started = session.scalars(select(DagRun).where(DagRun.dag_id != name)).all()
        runs = [{"dag": one.dag_id, "conf": one.conf, "note": one.note} for one in started]
    answer = {
        "errors": bag.import_errors,
        "dags": {name: {"when": when(dag), "catchup": dag.catchup, "title": dag.dag_display_name} for name, dag in own.items()},
        "run": done,
        "read": {dag_id: read_for(dag_id) for dag_id in ("fsat_tune_clock", "fsat_tune_clock-2", "fsat_tune")},
        "started": runs,
    }
    Path(result).write_text(json.dumps(answer), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
