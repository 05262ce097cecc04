"""dags/fsat_schedules.py beside a task with any task.yaml. Usage: python hostile_schedules_process.py RESULT.

The answer is the number of files, and how many of them had a schedule.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_process import DAGS
from hostile_tasks import contents, schedules, write_data
from hypothesis_profiles import load_profile


def main(result: str) -> None:
    data = Path(os.environ["FSAT_DATA"])
    write_data(data, "good").write_text("samples: s.csv\nschedules: {tune: '@daily'}\n", "utf-8")
    task_file = write_data(data, "hostile")
    sys.path.insert(0, DAGS)
    import fsat_schedules

    load_profile()
    answer = {"files": 0, "scheduled": 0}

    @example(b"samples: s.csv\nschedules: {tune: '0 3 * * 1', watch: '@daily'}\ntriggers: {tune: [traffic]}\n")
    @example(b"samples: s.csv\ntriggers: {apply: ['a b', '\xc3\xa4']}\n")
    @example(b"samples: s.csv\nschedules: {tune: '@hourly'}\n")
    @example(b"samples: s.csv\nschedules: {watch: '*/5 * * * *'}\n")
    @example(b"samples: s.csv\nschedules: {apply: '@monthly'}\n")
    @example(b"samples: s.csv\ntriggers: {watch: [a, b, c]}\n")
    @given(st.one_of(contents, schedules()))
    def others_keep_their_schedules(content: bytes) -> None:
        task_file.write_bytes(content)
        found = fsat_schedules.read_scheduled()
        assert "good" in found
        for name, spec in found.items():
            fsat_schedules.make_dags(name, spec)
            for verb, dag_id in fsat_schedules.dag_ids(name).items():
                schedule = fsat_schedules.when(getattr(spec.schedules, verb), getattr(spec.triggers, verb))
                json.dumps(DagSerialization.to_dict(DAG(dag_id, schedule=schedule))).encode()  # what goes to the database
        answer["files"] += 1
        answer["scheduled"] += "hostile" in found

    others_keep_their_schedules()
    Path(result).write_text(json.dumps(answer), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
