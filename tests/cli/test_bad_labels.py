"""Labels that a target cannot read: one clear error that names file and line, exit code 2, and nothing in the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

Cli = Callable[..., tuple[int, str, str]]
TEXTS = [f"a text about {word}" for word in ["boats", "trees", "trams", "shops", "waves", "moss", "lamps", "tides"]]
SEVERAL = [["sea"], ["wood"], ["town", "shop"], ["shop"], ["sea"], ["wood"], ["town"], ["sea", "wood"]]


@pytest.fixture
def validate(data_root: Path, store_root: Path, cli: Cli) -> Callable[..., tuple[int, str]]:
    """Write a task with one label for each text, and validate it: the exit code, and what was printed on standard error."""

    def call(labels: list[Any], **keys: Any) -> tuple[int, str]:
        folder = data_root / "task"
        folder.mkdir()
        records = [{"text": text, "label": label} for text, label in zip(TEXTS, labels, strict=False)]
        (folder / "samples.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
        (folder / "task.yaml").write_text(json.dumps({"samples": "samples.jsonl", **keys}), "utf-8")
        code, _, said = cli("validate", "task")
        if code == 2:
            assert not list(store_root.glob("validate/*/*/manifest.json"))
        return code, said

    return call


@pytest.mark.parametrize(
    ("labels", "keys", "expected"),
    [
        (SEVERAL, {"target": "one_label"}, ["line 1", "one label, got a list of labels", "the target is several_labels"]),
        ([*SEVERAL[:3], [], *SEVERAL[4:]], {"target": "several_labels"}, ["line 4", "one label or more, got an empty list"]),
        ([*SEVERAL[:3], None, *SEVERAL[4:]], {"target": "several_labels"}, ["line 4", "no label"]),
        ([["sea|wood"], *SEVERAL[1:]], {"target": "several_labels"}, ["line 1", "without the separator '|'", "'sea|wood'"]),
        (["sea||wood", *SEVERAL[1:]], {"target": "several_labels"}, ["line 1", "not empty", "'|'"]),
        ([[1.5], *SEVERAL[1:]], {"target": "several_labels"}, ["line 1", "labels that are text, got 1.5"]),
        ([[*row, "all"] for row in SEVERAL], {"target": "several_labels"}, ["a label that every sample has"]),
        (SEVERAL, {"target": "several_labels", "classes": {"moon": "the moon"}}, ["a label that some sample has, got 'moon'"]),
        ([*"1234123", "great"], {"target": "grade"}, ["line 8", "a grade that is a number", "'great'"]),
        (["low", "high"] * 4, {"target": "grade", "classes": {"low": "low"}}, ["line 2", "'high'", "such as 'low'"]),
        ([3] * 8, {"target": "grade"}, ["only 1 grade"]),
        (
            ["12", "cheap", *"345678"],
            {"target": "number"},
            ["line 2", "a number of at most 1e+30 in size, got 'cheap'", "1234.5"],
        ),
        (["12", "1,234", *"345678"], {"target": "number"}, ["line 2", "'1,234'", "without units or thousands separators"]),
        (["12", "1e300", *"345678"], {"target": "number"}, ["line 2", "a number of at most 1e+30 in size, got '1e300'"]),
        ([1e9 + i for i in range(8)], {"target": "number"}, ["column 'label'", "float32 can tell apart", "Subtract an offset"]),
        ([i * 1e-300 for i in range(8)], {"target": "number"}, ["column 'label'", "Write them in a smaller unit"]),
        ([1, 2, "nan", 4, 5, 6, 7, 8], {"target": "number"}, ["line 3", "a number of at most 1e+30 in size, got 'nan'"]),
        ([1, 2, float("inf"), 4, 5, 6, 7, 8], {"target": "number"}, ["line 3", "a number of at most 1e+30 in size, got inf"]),
        ([1, 2, True, 4, 5, 6, 7, 8], {"target": "number"}, ["line 3", "a number of at most 1e+30 in size, got True"]),
        ([4.5] * 8, {"target": "number"}, ["only 1 number (at least two that differ are needed)"]),
        ([1, 2, 3, 4], {"target": "number"}, ["only 4 samples (at least 5 are needed)"]),
        (["a", "b"] * 4, {"target": "stars"}, ["target", "'one_label', 'several_labels', 'grade' or 'number'", "'stars'"]),
        (["a", "b"] * 4, {"tolerance": 1.0}, ["tolerance", "no tolerance without `target: number`"]),
        ([1, 2] * 4, {"target": "number", "classes": {"1": "one"}}, ["classes", "no classes with `target: number`"]),
        (SEVERAL, {"target": "several_labels", "tune": {"class_weight": "balanced"}}, ["no tune.class_weight"]),
    ],
)
def test_a_label_that_the_target_cannot_read_is_named(
    validate: Callable[..., tuple[int, str]], labels: list[Any], keys: dict[str, Any], expected: list[str]
) -> None:
    code, said = validate(labels, **keys)
    assert code == 2, said
    for part in expected:
        assert part in said
    assert "Traceback" not in said


def test_single_labels_where_several_are_meant_are_a_warning(validate: Callable[..., tuple[int, str]]) -> None:
    code, said = validate(["sea", "wood"] * 4, target="several_labels")
    assert code == 0
    assert "no sample has more than one label (is it target: one_label, or another separator?)" in said


def test_labels_of_a_cell_are_read_from_a_list_or_a_text(validate: Callable[..., tuple[int, str]]) -> None:
    assert (
        validate(["wood; sea", ["sea", "wood"], "town", ["town"], "sea", "wood"], target="several_labels", separator=";")[0] == 0
    )


def test_4_and_4_point_0_are_the_same_grade(validate: Callable[..., tuple[int, str]], store_root: Path) -> None:
    assert validate([4, 4.0, "4", "4.0", 5, "5", 10, "10"], target="grade")[0] == 0
    (rows,) = store_root.glob("validate/*/*/rows.parquet")
    classes = [row["label"] for row in pq.read_table(rows).to_pylist() if row["split"] == "classes"]
    assert classes == ["4", "5", "10"]
