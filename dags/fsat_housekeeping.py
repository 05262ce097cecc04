"""### Remove from the store what nothing needs any more

It does the same as the command `fsat gc`. The store (FSAT_STORE) keeps every artefact that was ever made. This DAG removes an
artefact if neither a champion, nor an entry of a history, nor a living run needs it, and if nobody has used it for some days. It
also removes unfinished artefacts of killed runs. It merges small segments of the row cache, so that no text is encoded again.

You may run it at any time, beside runs of `fsat_tune`: the artefacts that they use stay. Its log and the XCom of `clean` say how
much was removed, how much stayed, and why. To see first what it would do, trigger it with **Dry run**.

If a registry cannot be read, the run fails at once, before anything is removed: the log names file and line. If the store cannot
be written or locked, the run tries twice more. The page `docs/airflow.md` of fsat describes the form and the schedule.
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
        description="Artefacts that were used within this many days stay, 1 to 3650.",
    ),
    "dry_run": Param(
        False,
        type="boolean",
        title="Dry run",
        description="Report what would be removed, and remove nothing.",
    ),
}


@task(
    doc_md="#### Clean the store\n\nMay be cleared or killed at any time: the store stays whole, and the next run completes it.",
    multiple_outputs=False,
)
def clean(params: dict[str, Any]) -> dict[str, Any]:
    """Remove the artefacts that nothing needs. Returns the report."""
    from fsat_tasks.housekeeping.sweep import housekeep

    report = housekeep(store(), params["keep_days"], params["dry_run"])
    log.info("%s", json.dumps(report, indent=2))
    return report


with DAG(
    "fsat_housekeeping",
    description="Remove from the store what neither the registry nor a run needs.",
    doc_md=__doc__,
    schedule=None if schedule == NEVER else schedule,
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    default_args=DEFAULT_ARGS,
    tags=["fsat"],
):
    clean()
