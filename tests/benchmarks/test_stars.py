"""Made-up grades and numbers: what is kept, and what the draws are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.stars import GRADES, StarSet, draw_shots, make_stars

GOOD, BAD = ["superb", "moving", "clever", "warm"], ["dull", "clumsy", "stale", "hollow"]


@pytest.fixture(scope="module")
def stars(tmp_path_factory: pytest.TempPathFactory) -> tuple[StarSet, list[str]]:
    """Texts with four words each. The more of them are good, the likelier is the label positive."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(400):
        good = int(rng.integers(0, 5))
        words = [*rng.choice(GOOD, good), *rng.choice(BAD, 4 - good), f"film{rng.integers(40)}"]
        label = "positive" if rng.random() < (0.02, 0.25, 0.5, 0.75, 0.98)[good] else "negative"
        rows.append({"text": " ".join(words), "label": label})
    path = tmp_path_factory.mktemp("stars") / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return make_stars(path), [row["label"] for row in rows]


def test_grades_are_in_the_order_of_the_numbers_and_of_the_good_words(stars: tuple[StarSet, list[str]]) -> None:
    made = stars[0]
    assert set(made.grades.tolist()) == set(range(GRADES))
    assert (np.diff(made.grades[np.argsort(made.numbers)]) >= 0).all()
    assert made.numbers.min() >= 0 and made.numbers.max() <= 100
    good = [sum(word in GOOD for word in text.split()) for text in made.texts]
    assert np.corrcoef(good, made.grades)[0, 1] > 0.8


def test_no_kept_text_has_a_label_against_its_grade(stars: tuple[StarSet, list[str]]) -> None:
    made, labels = stars
    positive = np.array([labels[line] == "positive" for line in made.lines])
    assert positive[made.grades > GRADES // 2].all() and not positive[made.grades < GRADES // 2].any()


def test_draws_have_as_many_rows_of_each_grade_and_depend_on_the_seed_alone(stars: tuple[StarSet, list[str]]) -> None:
    grades = stars[0].grades
    rows = draw_shots(grades, 4, 1)
    assert (np.bincount(grades[rows]) == 4).all() and len(np.unique(rows)) == len(rows)
    assert (draw_shots(grades, 4, 1) == rows).all() and (draw_shots(grades, 4, 2) != rows).any()
