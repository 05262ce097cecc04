"""Feeding back labels of other targets: lists stay lists, and `out_of_scope` is no class beside others."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fsat_tasks.data.append import add_samples
from fsat_tasks.errors import DataError
from fsat_tasks.tasks.task import Task, load_task

TEXTS = ["waves and trees", "waves", "trees"]
LABELS = [["sea", "wood"], ["sea"], ["wood"]]


def make(data_root: Path, target: str, labels: list[object], suffix: str = ".jsonl") -> Task:
    folder = data_root / "task"
    folder.mkdir()
    if suffix == ".parquet":
        pq.write_table(pa.table({"text": TEXTS, "label": labels}), folder / "samples.parquet")
    else:
        records = [{"text": text, "label": label} for text, label in zip(TEXTS, labels, strict=True)]
        (folder / "samples.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    (folder / "task.yaml").write_text(json.dumps({"samples": f"samples{suffix}", "target": target}), "utf-8")
    return load_task("task")


def review(tmp_path: Path, label: str) -> Path:
    path = tmp_path / "review.csv"
    path.write_text(f"text,label\nmoss on the shore,{label}\n", "utf-8")
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_several_labels_are_appended_as_a_list_where_the_others_are_lists(suffix: str, data_root: Path, tmp_path: Path) -> None:
    task = make(data_root, "several_labels", list(LABELS), suffix)
    assert add_samples(task, review(tmp_path, "wood|sea"))["added"] == 1
    path = task.folder / f"samples{suffix}"
    rows = pq.read_table(path).to_pylist() if suffix == ".parquet" else [json.loads(line) for line in path.open()]
    assert rows[-1] == {"text": "moss on the shore", "label": ["sea", "wood"]}


def test_several_labels_are_appended_as_a_text_where_the_others_are_texts(data_root: Path, tmp_path: Path) -> None:
    task = make(data_root, "several_labels", ["sea|wood", "sea", "wood"])
    add_samples(task, review(tmp_path, "wood|sea"))
    assert json.loads((task.folder / "samples.jsonl").read_text("utf-8").splitlines()[-1])["label"] == "sea|wood"


def test_out_of_scope_beside_a_label_is_an_unknown_label(data_root: Path, tmp_path: Path) -> None:
    task = make(data_root, "several_labels", list(LABELS))
    with pytest.raises(DataError, match="got 'out_of_scope'"):
        add_samples(task, review(tmp_path, "out_of_scope|sea"))


def test_a_number_is_appended_as_it_is_read(data_root: Path, tmp_path: Path) -> None:
    task = make(data_root, "number", [1.5, 2, 7])
    assert add_samples(task, review(tmp_path, "4.0"))["added"] == 1
    assert json.loads((task.folder / "samples.jsonl").read_text("utf-8").splitlines()[-1])["label"] == "4"
