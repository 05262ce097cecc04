"""The model card: README.md with the metadata that the Hugging Face Hub reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsat_tasks.models.head import Head
from fsat_tasks.tasks.task import Task
from fsat_tasks.templates import render

__all__ = ["render_card"]

FIGURES = {"accuracy": ("accuracy", "accuracy", {}), "macro_f1": ("f1", "macro-F1", {"average": "macro"})}
"""Figure of metrics.json -> type, name and arguments of the Hub's metric for this figure."""


def render_card(task: Task, head: Head, metrics: Mapping[str, Any], parity: Mapping[str, Any], served: str) -> str:
    """Render the card as Markdown with a YAML header, whose `model-index` has accuracy and F1.

    Args:
        metrics: content of metrics.json.
        parity: figures from `parity_of`.
        served: file of the graph that is served.
    """
    from markupsafe import Markup

    header = Markup(_metadata(task, metrics))  # noqa: S704, it is YAML, in which everything is quoted
    return render("model_card.md.j2", metadata=header, task=task, head=head, metrics=metrics, parity=parity, served=served)


def _metadata(task: Task, metrics: Mapping[str, Any]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    split = "query" if metrics["evidence"] == "query" else "samples"
    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type=task.name,
            dataset_name=f"{task.name}, {metrics['rows']} {split} rows",
            dataset_split=split,
            metric_type=kind,
            metric_name=name,
            metric_args=arguments or None,
            metric_value=metrics[figure],
        )
        for figure, (kind, name, arguments) in FIGURES.items()
    ]
    card = ModelCardData(
        library_name="onnx",
        pipeline_tag="text-classification",
        base_model=task.spec.encoder.name,
        tags=["fsat", "few-shot", "onnx"],
        metrics=["accuracy", "f1"],
        model_name=task.name,
        eval_results=results,
    )
    return str(card.to_yaml())
