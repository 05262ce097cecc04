"""### Is new traffic still like the rows that the champion was tuned with?

This DAG compares the window, which is the newest rows of the task's traffic, with the unlabelled rows that the champion was
tuned with. It calls the same function as `fsat watch`. If there is drift, the DAG sends an asset event. The event starts
`fsat_tune` with the new traffic as its unlabelled pool.

- **No drift:** success without an event. XCom and the log have the figures.
- **Drift:** success, and the asset `drift-TASK` has an event with the figures. Each window sends at most one event for the same
  champion. To send the event again, clear the task.
- **Failed:** there is no champion or no traffic, or a file cannot be read. The log says what to do.

Schedule this DAG so that a whole window of new rows arrives between two runs. Windows that share rows still count as different
windows, and each may send an event for the same drift. In fsat's documentation, `docs/watch.md` describes the tests, and
`docs/airflow.md` describes the form and the event.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, AssetAlias, task

from fsat_dags.form import chosen_task, task_param, text_param
from fsat_dags.settings import GPU, dag_settings, store

if TYPE_CHECKING:
    from airflow.sdk.types import OutletEventAccessorsProtocol, RuntimeTaskInstanceProtocol

log = logging.getLogger(__name__)

DRIFT = AssetAlias("fsat-drift")

PARAMS = {
    "task": task_param(),
    "traffic": text_param(
        "Traffic",
        1000,
        "A file, a folder or a pattern of files with new texts, relative to the task's folder. It must lie below FSAT_DATA. Of"
        " several files, the newest is taken. Empty: watch.traffic of task.yaml.",
    ),
}


@task(
    task_id="watch",
    doc_md="#### Compare the newest rows with the champion's reference\n\nThe log has the path of this file:\n\n"
    "- **drift.json:** the verdict, each test with figure and p-value, and the class shares with intervals",
    multiple_outputs=False,
    outlets=[DRIFT],
    **GPU,
)
def watch_window(
    params: dict[str, Any], ti: RuntimeTaskInstanceProtocol, outlet_events: OutletEventAccessorsProtocol
) -> dict[str, Any]:
    """Compare the window with the reference. Send an event if there is drift that no earlier call has announced."""
    from fsat_tasks.steps.pipeline import summary
    from fsat_tasks.tasks.files import newest_file
    from fsat_tasks.tasks.task import load_task
    from fsat_tasks.traffic.watch import drift_event, first_alarm, watch_traffic

    loaded = load_task(chosen_task(params["task"]))
    traffic = newest_file(loaded, params["traffic"])
    watched = watch_traffic(loaded, store(), traffic)
    drift = watched.json("drift.json")
    for test in drift["tests"]:
        log.info(
            "%s: %s, p = %.3g, adjusted for the number of tests %.3g: %s",
            test["test"],
            "drift" if test["drift"] else "no drift",
            test["p_value"],
            test["adjusted_p_value"],
            test["says"],
        )
    log.info("%s of %s, details: %s", "Drift" if drift["drift"] else "No drift", traffic, watched.path / "drift.json")
    # on a later try, the event is always sent: an earlier try may have been killed before it sent the event,
    # or a person has cleared the task to send the event again
    if drift["drift"] and (first_alarm(store(), watched) or ti.try_number > 1):
        asset = Asset(name=f"drift-{loaded.name}", uri=f"fsat://drift/{loaded.name}")
        outlet_events[DRIFT].add(asset, extra=drift_event(loaded, watched, traffic))
    return summary(watched)


with DAG(
    "fsat_watch",
    dag_display_name="fsat_watch: find drift in new traffic",
    description="Compare new traffic with the rows that the champion was tuned with. Drift starts fsat_tune.",
    doc_md=__doc__,
    schedule=None,
    params=PARAMS,
    **dag_settings(),
):
    watch_window()
