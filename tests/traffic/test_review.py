"""The review file has the rows that a person should look at, and is not overwritten once a person has changed it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.errors import StoreError
from fsat_tasks.inputs.text import Texts
from fsat_tasks.traffic.labelling import Labeller
from fsat_tasks.traffic.review import MOST, UNLIKE, Doubt, Lowest, Review, copy_result
from label_files import read_review, read_rows, write_texts


def test_review_has_what_the_model_abstains_on_once_and_smallest_margin_first(labeller: Labeller, tmp_path: Path) -> None:
    texts = [f'text {i}, "quoted"\nand more' for i in range(40)]
    result = labeller.label(write_texts(tmp_path / "new.csv", texts + texts))
    rows = {row["text"]: row for row in read_rows(result)}
    expected = {text: row for text, row in rows.items() if row["abstained"]}
    review = [row for row in read_review(result.path) if row["reason"] != UNLIKE]
    assert [row["text"] for row in review] == sorted(expected, key=lambda text: expected[text]["margin"])
    assert list(review[0]) == ["text", "label", "suggested", "probability", "reason"]
    for row in review:
        assert (row["label"], row["suggested"]) == ("", expected[row["text"]]["label"])
        assert row["reason"] == ("unsure" if expected[row["text"]]["in_scope"] else "out of scope")


def test_answered_rows_that_are_least_like_the_samples_come_last(labeller: Labeller, tmp_path: Path) -> None:
    result = labeller.label(write_texts(tmp_path / "new.csv", [f"text {i % 150}" for i in range(200)]))
    answered = {row["text"]: row["scope"] for row in read_rows(result) if not row["abstained"]}
    count = sum(not row["abstained"] for row in read_rows(result))
    review = read_review(result.path)
    unlike = [row["text"] for row in review if row["reason"] == UNLIKE]
    assert unlike == sorted(answered, key=lambda text: (answered[text], text))[: math.ceil(count / 20)]
    assert review[-len(unlike) :] == [row for row in review if row["reason"] == UNLIKE]
    assert result.json("summary.json")["to_review"] == len(review)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 99)), max_size=80), st.integers(1, 5))
def test_review_keeps_the_smallest_margins_whatever_comes_first(pairs: list[tuple[int, int]], most: int) -> None:
    margins = dict(pairs)  # a text has one margin
    review = Lowest(most)
    for text, _ in pairs:
        review.add([Doubt(margins[text], str(text), "a", 0.4, "unsure")])
    assert review.rows() == sorted(Doubt(margin, str(text), "a", 0.4, "unsure") for text, margin in margins.items())[:most]
    assert len(review._doubts) < 2 * most
    assert Review(Texts()).doubts.most == MOST == 1000


def test_review_that_a_person_has_changed_is_kept(labeller: Labeller, tmp_path: Path) -> None:
    first, second = (labeller.label(write_texts(tmp_path / "n.txt", [f"{i} {j}" for j in range(20)])) for i in range(2))
    copy_result(first, tmp_path / "out")
    copy_result(second, tmp_path / "out")
    review = tmp_path / "out" / "review.csv"
    review.chmod(0o644)
    review.write_text("mine")
    with pytest.raises(StoreError, match="one that was changed after it was copied"):
        copy_result(first, tmp_path / "out")
    assert review.read_text() == "mine"
