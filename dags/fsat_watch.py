"""### Is new traffic still like the rows that the champion was tuned with?

A window, the newest rows of the task's traffic, is compared with the unlabelled rows of the run that made the champion: the
same function as `fsat watch`. Drift becomes an asset event, which starts `fsat_tune` with the new traffic as its unlabelled pool.

#### The form

- **Task:** which classification problem. It is a folder with a task.yaml under FSAT_DATA, and has a champion.
- **Traffic:** a file, folder or glob in place of `watch.traffic` in task.yaml, as seen from the task's folder. The newest file
  counts. It has to lie under FSAT_DATA.

#### What is tested

- **features:** whether texts are of another kind (maximum mean discrepancy of the pretrained encoder's features)
- **labels:** whether the classes come in other shares
- **scope:** whether more texts are out of scope

A window in which nothing has changed is called drift at most 5 times in 100, by the three together (`watch.significance`).

#### How a run ends

- **No drift.** Success without an asset event; XCom and the log have the figures, drift.json in the artefact has all of them.
- **Drift.** Success too, and the asset `drift-TASK` gets an event with the task, the traffic's file and the figures; to hear of
  every task, schedule on the asset alias `fsat-drift`. The same window beside the same champion is told of once: a run on
  unchanged traffic sends no second event. To have it sent again, clear the task.
- **Failed.** No champion, no traffic, or a file that cannot be read fails at once and says what to do. Anything else is tried
  twice more.

Give it a schedule as slow as new rows come: windows that overlap are new ones, and each may be told of.
"""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import DAG, Asset, AssetAlias, Param, task

from fsat_common import GPU, TASKS, settings, store

log = logging.getLogger(__name__)

DRIFT = AssetAlias("fsat-drift")

PARAMS = {
    "task": Param(
        TASKS[0],
        type="string",
        enum=TASKS,
        title="Task",
        description="Which problem: a folder with a task.yaml under FSAT_DATA. A new one is on offer within a minute or so.",
    ),
    "traffic": Param(
        None,
        type=["null", "string"],
        minLength=1,
        maxLength=1000,
        title="Traffic",
        description="File, folder or glob of new texts, as seen from the task's folder. Empty: watch.traffic of task.yaml.",
    ),
}

WATCH_DOC = (
    "#### Compare the newest rows with the champion's reference\n\nIn its artefact, whose path is in the log:\n\n"
    "- **drift.json:** the verdict, each test with figure and p-value, and the class shares with intervals"
)


def watch_window(**context: Any) -> dict[str, Any]:
    """What `watch` does: compare the window, and tell of drift that nobody was told of."""
    from fsat_tasks.steps.pipeline import summary
    from fsat_tasks.tasks.files import newest_file
    from fsat_tasks.tasks.task import load_task
    from fsat_tasks.traffic.watch import drift_event, first_alarm, watch

    name = context["params"]["task"]
    loaded = load_task(name)
    traffic = newest_file(loaded, context["params"]["traffic"])
    watched = watch(loaded, store(), traffic)
    drift = watched.json("drift.json")
    for test in drift["tests"]:
        log.info(
            "%s: %s, p = %.3g, of the family %.3g: %s",
            test["test"],
            "drift" if test["drift"] else "no drift",
            test["p_value"],
            test["adjusted_p_value"],
            test["says"],
        )
    log.info("%s of %s, details: %s", "Drift" if drift["drift"] else "No drift", traffic, watched.path / "drift.json")
    # a former try may have been killed before Airflow had its event; and who clears the task wants it again
    if drift["drift"] and (first_alarm(store(), watched) or context["ti"].try_number > 1):
        asset = Asset(name=f"drift-{name}", uri=f"fsat://drift/{name}")
        context["outlet_events"][DRIFT].add(asset, extra=drift_event(loaded, watched, traffic))
    return summary(watched)


with DAG(
    "fsat_watch",
    description="Compare new traffic with what the champion was tuned with; drift starts fsat_tune.",
    doc_md=__doc__,
    schedule=None,
    params=PARAMS,
    **settings(),
):
    task(task_id="watch", doc_md=WATCH_DOC, outlets=[DRIFT], **GPU)(watch_window)()
