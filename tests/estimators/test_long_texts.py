"""An estimator says which texts its encoder does not read to their end."""

from __future__ import annotations

import warnings

import pytest

from estimators.toy_texts import LABELS, NEW, TEXTS, Make

LONG = "word " * 300
CUT = "cut to 256 tokens, because the encoder reads no more"


def test_warnings_count_what_was_cut_and_an_attribute_marks_the_samples(frozen: Make) -> None:
    with pytest.warns(UserWarning) as told:
        classifier = frozen().fit([*TEXTS, LONG], [*LABELS, "animal"], unlabelled=[LONG + "a", LONG + "b"], out_of_scope=[LONG])
    said = [str(one.message) for one in told if "cut" in str(one.message)]
    assert said == [
        f"texts: 1 of 13 texts was {CUT}",
        f"unlabelled: 2 of 2 texts were {CUT}",
        f"out_of_scope: 1 of 1 text was {CUT}",
    ]
    assert classifier.truncated_.tolist() == [False] * 12 + [True]
    with pytest.warns(UserWarning, match=f"texts: 1 of 4 texts was {CUT}"):
        classifier.predict([*NEW, LONG])
    with pytest.warns(UserWarning, match=f"texts: 1 of 1 text was {CUT}"):
        classifier.partial_fit([f"{LONG} again"], ["number"])
    assert classifier.truncated_.nonzero()[0].tolist() == [12, 13]


def test_nothing_is_said_of_texts_that_are_read_to_their_end(frozen: Make) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier = frozen().fit(TEXTS, LABELS)
        classifier.predict(NEW)
    assert not classifier.truncated_.any()
