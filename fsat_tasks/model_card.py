"""The model card that lies beside an exported model, in the Hugging Face format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsat_tasks.spec import Task
from fsat_tasks.templates import render
from fsat_tasks.tune import Head

__all__ = ["model_card"]


def model_card(task: Task, head: Head, metrics: Mapping[str, Any], parity: Mapping[str, Any]) -> str:
    """README.md for the model folder: what it does, how it was made, its figures, how to run it."""
    return render("model_card.md.j2", task=task, head=head, metrics=metrics, parity=parity)
