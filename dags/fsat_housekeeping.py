"""### Remove from the store what nothing needs any more

The same as `fsat gc` by hand. The store (FSAT_STORE) keeps every artefact that was ever made; this DAG removes those that neither
a champion nor an entry of a history nor a living run reaches, and that nobody has used for some days. It also removes what killed
runs left half-done, and merges small segments of the row cache into larger ones, so that no text is encoded again.

You may run it at any time, beside runs of `fsat_tune`: what they use stays. Its log, and the XCom of `clean`, say how much of
what went and stayed, and why. To try first what it would do, trigger it with **Dry run**.

A registry that cannot be read fails at once, before anything is removed: the log names file and line. A store that cannot be
written or locked is tried twice more. The page `docs/airflow.md` of fsat describes the form and the schedule.
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
        description="What was used within so many days stays, 1 to 3650.",
    ),
    "dry_run": Param(
        False,
        type="boolean",
        title="Dry run",
        description="Say what would go, and change nothing.",
    ),
}


@task(
    doc_md="#### Clean the store\n\nMay be cleared or killed at any time: the store stays whole, and the next run completes it.",
    multiple_outputs=False,
)
def clean(params: dict[str, Any]) -> dict[str, Any]:
    """Remove what nothing needs; the report is the XCom."""
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
