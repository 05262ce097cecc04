"""Pairs of texts with two labels each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.label_peers import fit_logistic_regressions, tune_threshold
from benchmarks.several_labels import load_pairs, page, pair_texts, with_cell


@given(st.integers(2, 8), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_each_text_is_in_one_row_and_each_label_in_as_many_rows_as_it_has_texts(classes: int, shots: int, seed: int) -> None:
    labels = np.repeat(np.arange(classes), shots)
    texts = [f"t{at}" for at in range(len(labels))]
    rows, matrix = pair_texts(texts, labels, classes, seed)
    assert sorted(text for row in rows for text in row.split(" and ")) == sorted(texts)
    assert matrix.sum(axis=0).tolist() == [shots] * classes
    for row, found in zip(rows, matrix, strict=True):
        parts = row.split(" and ")
        assert {int(labels[texts.index(text)]) for text in parts} == set(np.flatnonzero(found).tolist())
        assert found.sum() == len(parts)


def test_pairs_are_those_of_the_seed() -> None:
    labels, texts = np.arange(20) % 4, [str(at) for at in range(20)]
    assert pair_texts(texts, labels, 4, 1)[0] == pair_texts(texts, labels, 4, 1)[0]
    assert pair_texts(texts, labels, 4, 1)[0] != pair_texts(texts, labels, 4, 2)[0]


def test_label_on_more_than_half_of_the_texts_is_refused() -> None:
    with pytest.raises(ValueError, match="no label on more than half of the 3 texts"):
        pair_texts(["a", "b", "c"], np.array([0, 0, 1]), 2, 0)


def test_pool_has_no_text_of_the_labelled_rows(tmp_path: Path) -> None:
    def write(name: str, rows: list[tuple[str, str]]) -> None:
        (tmp_path / name).write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows), "utf-8")

    train = [(f"{label} {at}", label) for label in "abc" for at in range(6)]
    write("train.jsonl", train)
    write("train_2.jsonl", [row for row in train if row[0][-1] in "01"])
    write("test.jsonl", [(f"{label} test", label) for label in "abc"])
    rows = load_pairs(tmp_path, 2, 0)
    assert rows.classes == ["a", "b", "c"]
    assert (len(rows.texts), len(rows.unlabelled), len(rows.query)) == (3, 6, 2)
    assert not {text for row in rows.texts for text in row.split(" and ")} & set(" and ".join(rows.unlabelled).split(" and "))
    assert rows.labels.sum(axis=0).tolist() == [2, 2, 2]


def test_page_has_a_line_for_each_cell() -> None:
    scores = dict.fromkeys(("micro_f1", "macro_f1", "subset_accuracy", "calibration_error", "calibration_error_by_chance"), 0.5)
    cell = {"set": "things", "shots": 5, "method": "one", "seconds": 3.2, "trace": [], **scores}
    trace = [{"name": name, "taken": taken} for name, taken in (("probe", True), ("pool", True), ("body", False))]
    found = page([cell, {**cell, "trace": trace}])
    assert "| things | 5 | one | 50.0 | 50.0 | 50.0 | 0.5000 | 0.5000 |  | 3 |" in found
    assert "| things | 5 | one | 50.0 | 50.0 | 50.0 | 0.5000 | 0.5000 | pool | 3 |" in found


def test_new_cell_replaces_that_of_the_same_method() -> None:
    old, other = ({"set": "a", "shots": 5, "seed": 0, "method": name, "seconds": 1.0} for name in ("fsat", "fsat-frozen"))
    new = {**old, "seconds": 2.0}
    assert with_cell([old, other], new) == [other, new]


def test_tuned_threshold_of_rare_labels_is_below_a_half() -> None:
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(4, 6)), np.arange(32) % 4
    rows = (vectors[labels] + rng.normal(size=(32, 6))).astype(np.float32)
    matrix = np.eye(4, dtype=np.int64)[labels]
    fitted = fit_logistic_regressions(rows, matrix, "neg_log_loss")
    assert (fitted.chosen > 0.0).all()
    assert 0.0 < tune_threshold(fitted, rows, matrix) < 0.5
