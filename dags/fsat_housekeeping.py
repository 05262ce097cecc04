"""### Remove artefacts that are no longer needed from the store

This DAG does the same as the command `fsat gc`. Steps never remove artefacts from the store (FSAT_STORE). This DAG removes an
artefact if no champion, no version that the form keeps and no living run needs the artefact, and if nobody has used it for as
many days as the form says. A held model is kept for 30 days. The DAG also removes unfinished artefacts of killed runs. It merges
small segments of the row cache and keeps their rows.

You may run it at any time, even while `fsat_tune` runs: artefacts that a run uses stay. The log and the XCom of `clean` say how
much was removed, how much stayed, and why. To see first what would be removed, trigger the DAG with **Dry run**.

If a registry cannot be read, the run fails at once, before anything is removed. The log names the file and the line. If the store
cannot be written or locked, Airflow tries twice more. In fsat's documentation, `docs/airflow.md` describes the form and the
schedule.
"""

from __future__ import annotations

import json
import logging
import os
from typing import Any

from airflow.sdk import DAG, Param, task

from fsat_dags.settings import DEFAULT_ARGS, store

log = logging.getLogger(__name__)

NEVER = "never"
schedule = os.environ.get("FSAT_HOUSEKEEPING_SCHEDULE") or "@weekly"

PARAMS = {
    "keep_days": Param(
        7,
        type="integer",
        minimum=1,
        maximum=3650,
        title="Days to keep",
        description="Artefacts that were used in the last so many days stay: 1 to 3650.",
    ),
    "keep_versions": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=1000,
        title="Versions to keep",
        description="The newest so many versions of each task stay, and the champion. Empty: all versions.",
    ),
    "dry_run": Param(
        False,
        type="boolean",
        title="Dry run",
        description="Report what would be removed, and remove nothing.",
    ),
}


@task(
    doc_md="#### Clean the store\n\nYou may clear or kill this task at any time: the store stays intact, and the next run"
    " finishes the work.",
    multiple_outputs=False,
)
def clean(params: dict[str, Any]) -> dict[str, Any]:
    """Remove the artefacts that nothing needs. Returns the report."""
    from fsat_tasks.housekeeping.sweep import housekeep

    report = housekeep(store(), params["keep_days"], params["dry_run"], params["keep_versions"])
    log.info("%s", json.dumps(report, indent=2))
    return report


with DAG(
    "fsat_housekeeping",
    dag_display_name="fsat_housekeeping: remove what nothing needs",
    description="Remove artefacts from the store that neither the registry nor a run needs.",
    doc_md=__doc__,
    schedule=None if schedule == NEVER else schedule,
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    default_args=DEFAULT_ARGS,
    tags=["fsat"],
):
    clean()
