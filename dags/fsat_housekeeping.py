"""### Remove from the store what nothing needs any more

The same as `fsat gc` by hand. The store (FSAT_STORE) keeps every artefact that was ever made; this DAG removes those that
neither a champion nor an entry of a history nor a living run reaches, and that nobody has used for some days. It also removes
what killed runs left half-done, and merges small segments of the row cache into larger ones, so that no text is encoded again.

You may run it at any time, beside runs of `fsat_tune`: what they use stays. Its log, and the XCom of `clean`, say how much of
what went and stayed, and why. To try first what it would do, trigger it with **Dry run**.

#### The form

- **Days to keep:** what was used within so many days stays in any case, at least one. A run of `fsat_tune` may wait for
  hours between two steps, and then nothing but its age protects what the first one made.
- **Dry run:** look and report, change nothing.

#### A schedule

Weekly, unless FSAT_HOUSEKEEPING_SCHEDULE says something else where the dag-processor runs: a cron line, a preset such as
`@daily`, or `never`.

#### How a run ends

- **Success.** In a dry run too, and when there was nothing to do.
- **Failed.** A registry that cannot be read fails at once, before anything is removed: the log names file and line. A
  store that cannot be written or locked is tried twice more.
"""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG, Param, task

from fsat_common import DEFAULT_ARGS, store

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

CLEAN_DOC = "#### Clean the store\n\nMay be cleared or killed at any time: the store stays whole, and the next run completes it."


def clean_store(**context: Any) -> dict[str, Any]:
    """What `clean` does: the report is its XCom."""
    import json
    import logging

    from fsat_tasks.housekeeping.sweep import housekeep

    report = housekeep(store(), context["params"]["keep_days"], context["params"]["dry_run"])
    logging.getLogger(__name__).info("%s", json.dumps(report, indent=2))
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
    task(task_id="clean", doc_md=CLEAN_DOC)(clean_store)()
