"""The model card: README.md with the metadata that the Hugging Face Hub reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fsat_tasks.models.card_words import CARDS
from fsat_tasks.models.head import Head
from fsat_tasks.runtime.printable import printable
from fsat_tasks.targets.target import Target
from fsat_tasks.templates import render

__all__ = ["About", "render_card"]

FIGURES: dict[str, tuple[str, str, dict[str, str]]] = {
    "accuracy": ("accuracy", "accuracy", {}),
    "micro_f1": ("f1", "micro-F1", {"average": "micro"}),
    "macro_f1": ("f1", "macro-F1", {"average": "macro"}),
    "mae": ("mae", "mean absolute error", {}),
}
"""Figure of metrics.json -> type, name and arguments of the Hub's metric for this figure."""


@dataclass(frozen=True)
class About:
    """Facts about a model that its user states."""

    name: str
    """Name of the model, which is its task's name."""
    description: str
    """A sentence about the model; may be empty."""
    classes: Mapping[str, str]
    """Label -> its meaning in words, for the labels whose meaning is known."""
    encoder: str
    """Name of the pretrained encoder."""


def render_card(
    about: About, target: Target, head: Head, metrics: Mapping[str, Any], parity: Mapping[str, Any], served: str
) -> str:
    """Render the card as Markdown with a YAML header, whose `model-index` has the figures that the target measures.

    Args:
        about: what the user says about the model.
        target: kind of the model's answers.
        head: the model's head.
        metrics: content of metrics.json.
        parity: figures from `parity_of`.
        served: file of the graph that is served.
    """
    from markupsafe import Markup

    header = Markup(_metadata(about, target, metrics))  # noqa: S704, it is YAML, in which everything is quoted
    words = CARDS[target.name]
    return render(
        "model_card.md.j2",
        metadata=header,
        about=about,
        head=head,
        metrics=metrics,
        figures=words.figures(metrics),
        words=words,
        parity=parity,
        served=served,
        markdown=_markdown,
    )


_MARKDOWN = re.compile(r"[\\`*\[\]|~!#:]|(?<![^\W_])_|_(?![^\W_])|^[-+=]|^\d{1,9}[.)]|www\.", re.IGNORECASE)
"""Text whose last character may mean something in Markdown. An underscore within a word means nothing. The template escapes what
means something in HTML."""


def _markdown(text: str) -> str:
    """Return a user's text as one line that Markdown shows as it is: without images, links or terminal escapes."""
    return printable(_MARKDOWN.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", " ".join(text.split())))


def _metadata(about: About, target: Target, metrics: Mapping[str, Any]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    split = "query" if metrics["evidence"] == "query" else "samples"
    results = [
        EvalResult(
            task_type=target.task_type,
            dataset_type=about.name,
            dataset_name=f"{about.name}, {metrics['rows']} {split} rows",
            dataset_split=split,
            metric_type=kind,
            metric_name=name,
            metric_args=arguments or None,
            metric_value=metrics[figure],
        )
        for figure, (kind, name, arguments) in FIGURES.items()
        if figure in metrics
    ]
    card = ModelCardData(
        library_name="onnx",
        pipeline_tag=target.task_type,
        base_model=about.encoder,
        tags=["fsat", "few-shot", "onnx"],
        metrics=sorted({FIGURES[figure][0] for figure in FIGURES if figure in metrics}),
        model_name=about.name,
        eval_results=results,
    )
    return str(card.to_yaml())
