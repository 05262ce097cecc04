"""The small tasks of the ladder's benchmark, and what is counted on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.ladder.draws import CLASSES, POOL, QUERY, SHOTS, SetRows, draw
from benchmarks.ladder.evidence import Evidence, RungEvidence, read_evidence, write_evidence
from benchmarks.ladder.figures import figures
from benchmarks.ladder.page import page


def rows_of(classes: int, each: int) -> SetRows:
    labels = np.repeat(np.arange(classes), each)
    return SetRows(Path("train.jsonl"), [f"row {at}" for at in range(len(labels))], [f"c{one}" for one in range(classes)], labels)


@pytest.mark.parametrize("number", range(5))
def test_shots_pool_and_query_share_no_row_and_have_the_drawn_classes(number: int) -> None:
    rows = rows_of(30, 60)
    drawn = draw(number, rows)
    parts = np.concatenate([drawn.shots, drawn.pool, drawn.query])
    assert len(np.unique(parts)) == len(parts)
    assert set(rows.labels[parts]) == set(drawn.classes)
    assert CLASSES[0] <= len(drawn.classes) <= CLASSES[1]
    assert len(np.unique(rows.labels[drawn.shots], return_counts=True)[1]) == len(drawn.classes)
    assert SHOTS[0] <= len(drawn.shots) / len(drawn.classes) <= SHOTS[1]
    assert len(drawn.pool) <= POOL[1] and len(drawn.query) <= QUERY


def test_a_draw_is_the_same_again() -> None:
    first, second = (draw(7, rows_of(30, 60)) for _ in range(2))
    for name in ("classes", "shots", "pool", "query"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_a_text_that_is_there_twice_is_drawn_once_at_most() -> None:
    rows = rows_of(6, 20)
    twice = SetRows(rows.path, ["same"] * 20 + rows.texts[20:], rows.classes, rows.labels)
    drawn = draw(0, twice)
    assert sum(twice.texts[at] == "same" for at in (*drawn.shots, *drawn.pool, *drawn.query)) == 1


def logits_that_are_right(of: int, truth: np.ndarray) -> np.ndarray:
    """Return logits (n, 2) whose first `of` rows are answered right, and the others wrong."""
    told = np.where(np.arange(len(truth)) < of, truth, 1 - truth)
    return np.eye(2)[told] * 4.0


def evidence(number: int, *rungs: tuple[str, bool, int]) -> Evidence:
    """Return evidence of rungs (name, taken, right answers to 100 query rows)."""
    truth, labels = np.arange(100) % 2, np.arange(8) % 2
    kept = [
        RungEvidence(name, taken, "why", np.eye(2)[labels], np.eye(2)[labels[:0]], logits_that_are_right(right, truth), 1.0)
        for name, taken, right in rungs
    ]
    return Evidence(number, "made-up", 50, labels, truth, tuple(kept))


def test_help_harm_and_regret_are_counted_against_the_best_rung_before() -> None:
    helped = evidence(0, ("prototypes", True, 80), ("probe", True, 85), ("pool", False, 95))
    harmed = evidence(1, ("prototypes", True, 80), ("probe", True, 90), ("body", True, 86))
    same = evidence(2, ("prototypes", True, 80), ("probe", True, 81))
    found = figures([helped, harmed, same])
    assert found["rungs"]["probe"]["taken"] == {"draws": 3, "helped": 2, "harmed": 0, "mean": pytest.approx(0.16 / 3)}
    assert found["rungs"]["body"]["taken"]["harmed"] == 1
    assert found["rungs"]["pool"]["refused"] == {"draws": 1, "helped": 1, "harmed": 0, "mean": pytest.approx(0.1)}
    ladder, frozen = found["final"]["ladder"], found["final"]["frozen"]
    assert ladder["accuracy"] == pytest.approx((0.85 + 0.86 + 0.81) / 3)
    assert ladder["regret"] == pytest.approx((0.10 + 0.04 + 0.0) / 3)
    assert ladder["harmed"] == pytest.approx(1 / 3)
    assert frozen["accuracy"] == pytest.approx((0.85 + 0.90 + 0.81) / 3)
    text = page({**found, "budget_seconds": 60.0})
    assert "| body | 1 | 1 | 0 | 0 | 1 | -4.00 |" in text


def test_evidence_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = evidence(3, ("prototypes", True, 80), ("probe", False, 70))
    write_evidence(tmp_path, written)
    (read,) = read_evidence(tmp_path, range(5))
    assert (read.number, read.set, read.pool) == (3, "made-up", 50)
    for ours, theirs in zip(read.rungs, written.rungs, strict=True):
        assert (ours.name, ours.taken, ours.reason) == (theirs.name, theirs.taken, theirs.reason)
        np.testing.assert_array_equal(ours.query, theirs.query)
