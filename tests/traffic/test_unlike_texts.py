"""The texts of a drifted window that are least like the samples."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from fsat_tasks.inputs.text import Texts
from fsat_tasks.traffic.watch import _unlike


def test_template_with_another_number_is_shown_once() -> None:
    run = cast(Any, SimpleNamespace(task=SimpleNamespace(modality=Texts())))
    others = ["the garden needs water in July", "who won the chess match last night", "Which train goes to Rome?"]
    texts = [*(f"Invoice number {40_000 + 137 * n} was posted to your account" for n in range(40)), *others]
    shown = _unlike(run, texts, np.arange(43.0))
    assert [row["text"] for row in shown] == ["Invoice number 40000 was posted to your account", *others]
    assert [row["scope"] for row in shown] == [0.0, 40.0, 41.0, 42.0]
