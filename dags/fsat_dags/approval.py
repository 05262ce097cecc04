"""Operators of the tasks `decide` and `approve` of fsat_tune. They decide and ask a person before the champion moves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.exceptions import AirflowSkipException

from fsat_dags.settings import store
from fsat_dags.tune_tasks import Chosen, load


def is_test(context: Any) -> bool:
    """True in a run of `airflow dags test`. It has no scheduler, so nothing would carry out an answer or a deadline."""
    return bool(context["dag_run"].triggering_user_name == "dag_test")


class ReportLink(BaseOperatorLink):
    """Button of `decide` in Airflow's UI that opens the report."""

    name = "Report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the report's address, or an empty string if the task failed. Airflow calls this when the task has ended."""
        from fsat_tasks.registry.approval import report_link

        made = ti_key.xcom_pull(task_ids=ti_key.task_id, map_indexes=ti_key.map_index)
        return report_link(made["key"]) if made else ""


class DecideOperator(BaseOperator):
    """Runs the step publish as a dry run, so the champion does not move.

    The result is the artefact's summary with two more keys. `chosen` is the task. `replaces` is the version that was the
    champion when the model was judged.
    """

    template_fields = ("chosen",)
    operator_extra_links = (ReportLink(),)

    def __init__(self, chosen: Chosen, **options: Any) -> None:
        super().__init__(**options)
        self.chosen = chosen

    def execute(self, context: Any) -> dict[str, Any]:
        from fsat_tasks.registry.registry import Registry
        from fsat_tasks.steps.pipeline import run_steps, summary

        loaded = load(context["params"], self.chosen, decide_only=True)
        version = Registry(store().root, loaded.name).version()
        return {
            "chosen": self.chosen,
            "replaces": version,
            **summary(run_steps(loaded, until="publish", store=store())["publish"]),
        }


class ApproveOperator(ApprovalOperator):
    """Asks a person to approve the decision of `decide`. The task is skipped if no approval is needed, or nobody can be asked."""

    template_fields = (*ApprovalOperator.template_fields, "decided")

    def __init__(self, decided: dict[str, Any], **options: Any) -> None:
        super().__init__(subject="Promote the new model?", defaults=ApprovalOperator.REJECT, **options)
        self.decided = decided

    def execute(self, context: Any) -> None:
        from fsat_tasks.registry.approval import approval_page, awaits_approval, find_artefact, keep_until_answered

        loaded = load(context["params"], self.decided["chosen"])
        published = find_artefact(store(), "publish", self.decided["key"])
        if not awaits_approval(loaded, store(), published):
            raise AirflowSkipException("No approval is needed: the setting approval is off, or the champion stays.")
        if is_test(context):
            raise AirflowSkipException(
                "Nobody can be asked in a test run, so the model is held. To promote it, test with the conf"
                f' {{"task": "{loaded.name}", "approval": "no"}}, or call: fsat run {loaded.name} --approve'
            )
        keep_until_answered(loaded, store(), published)
        self.subject = f"Promote the new model of {loaded.name}?"
        self.body = approval_page(loaded, store(), published)
        self.response_timeout = timedelta(hours=loaded.spec.approval_hours)
        super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Handle the answer. If it is no, record it in the registry here, because Airflow then skips `publish`."""
        from fsat_tasks.registry.approval import settle

        if event.get("chosen_options") == [self.REJECT]:
            settle(load(context["params"], self.decided["chosen"]), self.decided["key"], self.decided["replaces"], approved=False)
        return super().execute_complete(context, event)
