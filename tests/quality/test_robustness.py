"""Perturbed texts: the same for a seed, the same words to a reader, and a drop that is the accuracy lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fsat_tasks.inputs.modalities import perturb
from fsat_tasks.inputs.text import Texts
from fsat_tasks.quality.robustness import ROWS, measure_robustness

TEXTS, KINDS = Texts(), list(Texts.perturbations)
TEXT = "Where is my new card? It was sent 5 days ago."
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@pytest.mark.parametrize("kind", KINDS)
@given(texts, st.integers(0, 1000))
def test_a_perturbed_text_is_one_still_and_the_same_for_the_same_seed(kind: str, text: str, seed: int) -> None:
    changed = perturb(TEXTS, text, kind, seed)
    assert changed.strip()
    assert perturb(TEXTS, text, kind, seed) == changed


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_changes_what_its_name_says_and_nothing_else(kind: str) -> None:
    for changed in (perturb(TEXTS, TEXT, kind, seed) for seed in range(30)):
        assert changed != TEXT
        if kind == "case":
            assert changed.lower() == TEXT.lower()
        elif kind == "whitespace":
            assert changed.split() == TEXT.split()
        elif kind == "punctuation":
            assert "".join(filter(str.isalnum, changed)) == "".join(filter(str.isalnum, TEXT))
        else:
            assert abs(len(changed) - len(TEXT)) <= 3
            assert sum(a == b for a, b in zip(changed.split(), TEXT.split(), strict=False)) >= 6  # of ten words


def test_drop_is_what_the_perturbed_rows_lose() -> None:
    rows = [f"text number {i}" for i in range(500)]
    right = np.arange(500) % 2 == 0

    def is_right(texts: list[str], numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        assert len(texts) == len(numbers) == ROWS
        answers: NDArray[np.bool_] = right[numbers] & ~np.array([text.isupper() for text in texts])
        return answers

    found = measure_robustness(TEXTS, rows, right, is_right, seed=0)
    assert found["rows"] == ROWS
    kinds = {kind["kind"]: kind for kind in found["kinds"]}
    assert list(kinds) == KINDS
    assert kinds["typos"]["drop"] == kinds["whitespace"]["drop"] == 0.0
    assert 0.05 < kinds["case"]["drop"] < 0.3  # a third of the half that is right
    assert kinds["case"]["drop_low"] < kinds["case"]["drop"] < kinds["case"]["drop_high"]
