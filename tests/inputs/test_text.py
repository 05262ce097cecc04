"""Texts as rows: what is read, what counts as the same, and what is shown."""

from __future__ import annotations

import pytest

from fsat_tasks.errors import DataError
from fsat_tasks.inputs.modality import KEY_BYTES, Place
from fsat_tasks.inputs.text import Texts

TEXTS, PLACE = Texts(), Place("rows.csv", 3, ("body",))


@pytest.mark.parametrize("cell", [None, "", "  ", "\n\t\u2003"])
def test_cell_without_a_letter_or_a_sign_is_a_blank_row(cell: str | None) -> None:
    assert TEXTS.read([cell], PLACE, 100) is None


def test_text_is_its_own_notation() -> None:
    assert TEXTS.read([" My card "], PLACE, 100) == " My card "
    assert TEXTS.cells(" My card ") == (" My card ",)
    assert TEXTS.read_line("", "row 1") == ""
    assert TEXTS.anchor("lost card") == "lost card"


def test_bad_cell_is_named_by_file_line_and_column() -> None:
    with pytest.raises(DataError, match=r"rows\.csv, line 3, column 'body': expected at most 5 characters, got 6"):
        TEXTS.read(["sixsix"], PLACE, 5)


def test_keys_are_different_for_different_texts_and_short() -> None:
    keys = {TEXTS.key(text) for text in ("a", "A", "a ", "\u00e9", "e\u0301")}
    assert len(keys) == 5
    assert {len(key) for key in keys} == {KEY_BYTES}


def test_fingerprint_ignores_case_width_punctuation_and_spacing() -> None:
    assert TEXTS.fingerprint("Hello,  World!") == TEXTS.fingerprint("hello world") == TEXTS.fingerprint("\uff28ello world")
    assert TEXTS.fingerprint(" ?! ") == "?!"


def test_long_text_and_other_script_are_odd() -> None:
    assert TEXTS.find_oddities("short", "LATIN") == []
    assert TEXTS.find_oddities("\u0434\u0430", "LATIN") == ["script"]
    assert TEXTS.find_oddities("a" * 1001, "LATIN") == ["length"]
    assert TEXTS.find_oddities("123", "LATIN") == []
    assert set(TEXTS.oddities) == {"length", "script"}


def test_text_is_cut_to_the_room_there_is() -> None:
    assert TEXTS.show("a long text", 6) == "a lon…"
    assert TEXTS.show("a long text", 11) == TEXTS.show("a long text") == "a long text"
