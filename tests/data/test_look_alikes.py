"""Labels that a person takes for the same are found, with what they differ by."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.data.look_alikes import find_look_alikes, has_control


@pytest.mark.parametrize(
    ("label", "other", "says"),
    [
        ("PIN", "pin", "'PIN' and 'pin' differ by case alone"),
        ("Дом", "дом", "'Дом' and 'дом' differ by case alone"),
        ("cafe\u0301", "café", "'cafe\\u0301' and 'café' differ by composed and decomposed accents alone"),
        ("p\u200bin", "pin", "'p\\u200bin' and 'pin' differ by invisible characters alone"),
        ("pin\u202e", "pin", "'pin\\u202e' and 'pin' differ by invisible characters alone"),
        ("card lost", "card_lost", "'card lost' and 'card_lost' differ by white space or underscores alone"),
        ("card  lost", "card\u00a0lost", "'card  lost' and 'card\\xa0lost' differ by white space or underscores alone"),
        ("ｐｉｎ", "pin", "'ｐｉｎ' and 'pin' differ by the width or style of letters alone"),
        ("p\u0456n", "pin", "'p\\u0456n' and 'pin' differ by look-alike letters alone"),
        ("\u0420in", "pin", "'\\u0420in' and 'pin' differ by look-alike letters and case alone"),
        ("Card Lost", "card_lost", "'Card Lost' and 'card_lost' differ by white space or underscores and case alone"),
    ],
)
def test_labels_that_look_alike_are_told_with_what_they_differ_by(label: str, other: str, says: str) -> None:
    (found,) = find_look_alikes([label], ["unlike", other])
    assert found.show() == says
    assert find_look_alikes([other], [label])[0].difference == found.difference


@pytest.mark.parametrize(
    ("label", "other"), [("1", "-1"), ("10", "1"), ("a-b", "ab"), ("cat", "car"), ("l", "1"), ("дом", "dom")]
)
def test_labels_that_differ_to_the_eye_are_none(label: str, other: str) -> None:
    assert find_look_alikes([label], [other]) == []


@given(st.lists(st.text(min_size=1, max_size=8), max_size=8))
def test_a_label_is_no_look_alike_of_itself(labels: list[str]) -> None:
    found = find_look_alikes(labels, labels)
    assert all(one.label != one.other for one in found)
    assert len({unicodedata.normalize("NFC", label) for label in labels}) >= len(set(labels)) - len(found)


@pytest.mark.parametrize(
    ("label", "has"), [("a\nb", True), ("a\tb", True), ("a\x7f", True), ("a\u2028b", True), ("a b é 🎉", False)]
)
def test_control_characters_are_seen(label: str, has: bool) -> None:
    assert has_control(label) == has
