"""Labels of other targets in the files that `fsat apply` writes."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fsat_tasks.models.served import Answered
from fsat_tasks.store import Store
from fsat_tasks.targets.grade import GradeTarget
from fsat_tasks.targets.number import NumberTarget
from fsat_tasks.targets.one_label import OneLabelTarget
from fsat_tasks.targets.several_labels import SeveralLabelsTarget
from fsat_tasks.targets.target import Rule
from fsat_tasks.tasks.task import Task
from fsat_tasks.traffic.labelling import PREDICTIONS
from fsat_tasks.traffic.review import UNLIKE
from label_files import write_texts
from stub_model import StubModel, stub_labeller

TEXTS = ["one", "two", "", "three"]


class Stub(StubModel):
    """A model whose outputs are given, one row for each text; the last text is out of scope."""

    def __init__(self, target: Any, rule: Rule, outputs: list[list[float]]) -> None:
        super().__init__()
        self.target, self.rule, self.outputs = target, rule, np.array(outputs, np.float32)

    def answer(self, inputs: Sequence[str]) -> Answered:
        assert list(inputs) == ["one", "two", "three"]
        return Answered(self.outputs, np.array([1.0, 1.0, 0.0], np.float32), np.zeros(3, bool))


def label(task: Task, store_root: Path, tmp_path: Path, stub: Stub) -> tuple[list[dict[str, Any]], dict[str, Any], list[Any]]:
    """Return the predictions, the summary, and the rows of the review file."""
    file = write_texts(tmp_path / "new.csv", TEXTS)
    result = stub_labeller(task, Store(store_root), stub).label(file)
    with (result.path / "review.csv").open(encoding="utf-8-sig", newline="") as review:
        return pq.read_table(result.path / PREDICTIONS).to_pylist(), result.json("summary.json"), list(csv.DictReader(review))


def test_several_labels_are_a_list_and_none_is_no_answer(task: Task, store_root: Path, tmp_path: Path) -> None:
    rule = Rule(["sea", "town", "wood"], {}, [0.4] * 3)
    stub = Stub(SeveralLabelsTarget(), rule, [[0.9, 0.1, 0.6], [0.1, 0.2, 0.3], [0.9, 0.1, 0.1]])
    rows, summary, review = label(task, store_root, tmp_path, stub)
    assert [row["label"] for row in rows] == ["sea|wood", "", None, "sea"]
    assert [row["labels"] for row in rows] == [["sea", "wood"], [], None, ["sea"]]
    assert rows[0]["probabilities"] == pytest.approx([0.9, 0.6])
    assert [row["probability"] for row in rows if row["label"] is not None] == pytest.approx([0.6, 0.7, 0.9])
    assert [row["abstained"] for row in rows] == [False, True, True, True]
    counts = {name: summary[name] for name in ("answered", "out_of_scope", "unsure", "blank")}
    assert counts == {"answered": 1, "out_of_scope": 1, "unsure": 1, "blank": 1}
    assert [row["text"] for row in review if row["reason"] != UNLIKE] == ["two", "three"]
    assert [row["text"] for row in review if row["reason"] == UNLIKE] == ["one"]


def test_a_number_has_an_interval_and_is_put_aside_only_out_of_scope(task: Task, store_root: Path, tmp_path: Path) -> None:
    rule = Rule([], {"0.9": 2.0}, tolerance=1.0, unit=1.0)
    rows, summary, review = label(task, store_root, tmp_path, Stub(NumberTarget(), rule, [[3.25], [-1.0], [7.0]]))
    assert [row["label"] for row in rows] == ["3.25", "-1", None, "7"]
    assert [(row["low"], row["high"]) for row in rows[:2]] == [(1.25, 5.25), (-3.0, 1.0)]
    assert (summary["answered"], summary["out_of_scope"], summary["unsure"]) == (2, 1, 0)
    assert [(row["text"], row["suggested"], row["probability"]) for row in review] == [("three", "7", ""), ("one", "3.25", "")]


def test_a_grade_is_the_median_and_its_mean_is_on_the_scale_of_the_grades(task: Task, store_root: Path, tmp_path: Path) -> None:
    rule = Rule(["1", "2", "10"], {"0.9": 0.75})
    stub = Stub(GradeTarget(), rule, [[0.45, 0.1, 0.45], [0.8, 0.1, 0.1], [0.0, 0.0, 1.0]])
    rows, _, _ = label(task, store_root, tmp_path, stub)
    assert [row["label"] for row in rows] == ["2", "1", None, "10"]
    assert rows[3]["mean_grade"] == 10.0
    assert rows[0]["mean_grade"] == pytest.approx(2.0)
    assert rows[0]["labels"] == ["1", "10"]


@pytest.mark.parametrize(
    ("target", "rule", "outputs", "said"),
    [
        (OneLabelTarget(), Rule(["a", "b"], {"0.9": math.inf}), [[0.9, 0.1]] * 3, "Every set of labels is full"),
        (GradeTarget(), Rule(["1", "2"], {"0.9": math.inf}), [[0.9, 0.1]] * 3, "Every set of labels is full"),
        (NumberTarget(), Rule([], {"0.9": math.inf}, tolerance=1.0), [[1.0]] * 3, "Every interval is infinite"),
        (OneLabelTarget(), Rule(["a", "b"], {"0.9": 0.95, "0.95": math.inf}), [[0.9, 0.1]] * 3, None),
        (SeveralLabelsTarget(), Rule(["a", "b"], {}, [0.5, 0.5]), [[0.9, 0.1]] * 3, None),
    ],
)
def test_sets_without_a_limit_are_said_once(
    target: Any,
    rule: Rule,
    outputs: list[list[float]],
    said: str | None,
    task: Task,
    store_root: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    label(task, store_root, tmp_path, Stub(target, rule, outputs))
    expected = [f"{task.name}: {said}, because a coverage of 0.9 needs at least 9 samples."] if said else []
    assert [record.getMessage() for record in caplog.records if record.name.endswith("labelling")] == expected
