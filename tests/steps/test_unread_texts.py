"""Texts that the encoder cannot read are said before any work."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fsat_tasks.data.readers import Rows
from fsat_tasks.encoders.languages import read_languages, unknown_share
from fsat_tasks.encoders.source import locate_encoder
from fsat_tasks.steps.languages import find_unread
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.tasks.task import load_task

GERMAN = [
    ("meine Karte ist noch nicht angekommen", "card"),
    ("wo bleibt die Karte, die ich bestellt habe", "card"),
    ("ich kann mich mit meinem Passwort nicht anmelden", "login"),
    ("die Anmeldung in der App geht nicht", "login"),
]


def test_languages_of_the_bundled_encoder_are_in_its_card() -> None:
    assert read_languages(locate_encoder("all-MiniLM-L6-v2")) == ["en"]


@pytest.mark.parametrize(
    ("card", "languages"),
    [
        ("---\nlanguage: en\n---\n", ["en"]),
        ('---\nlicense: mit\nlanguage:\n- "de"\n- en\ntags:\n- fr\n---\n', ["de", "en"]),
        ("---\nlanguage: [de, fr]\n---\n", ["de", "fr"]),
        ("---\nlanguage:\n- multilingual\n- en\n---\n", []),
        ("# language: en\n", []),
        ("---\nlicense: mit\n---\nlanguage: en\n", []),
        (None, []),
    ],
)
def test_languages_of_a_card_are_those_of_its_header(card: str | None, languages: list[str], tmp_path: Path) -> None:
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert read_languages(tmp_path) == languages


def test_texts_in_another_language_are_a_warning_of_validate(make_task: Callable[..., str], store_root: Path) -> None:
    name = make_task(GERMAN, out_of_scope=[("你好", "")])
    findings = json.loads((run_steps(load_task(name), "validate")["validate"].path / "findings.json").read_text())
    (found,) = [finding for finding in findings if finding["check"] == "language"]
    assert (found["file"], found["severity"]) == ("samples", "warning")
    assert found["message"].startswith(
        "of 4 texts whose language is clear, 4 (100 %) are in German; all-MiniLM-L6-v2 reads English"
    )


def test_unlabelled_texts_in_another_language_are_a_warning_that_names_their_share(
    make_task: Callable[..., str], store_root: Path, toy_rows: list[tuple[str, str]]
) -> None:
    english = [f"the {thing} that I ordered last week has not arrived yet" for thing in ("card", "book", "phone")]
    rows = [
        text for number in range(400) for text in (*(f"{one}, number {number}" for one in english), f"{GERMAN[0][0]} {number}")
    ]
    name = make_task(toy_rows, unlabelled=[(row, "") for row in rows])
    findings = json.loads((run_steps(load_task(name), "validate")["validate"].path / "findings.json").read_text())
    (found,) = [finding for finding in findings if finding["check"] == "language"]
    assert found["file"] == "unlabelled"
    said = re.fullmatch(r"of (\d+) texts whose language is clear, (\d+) \((.*) %\) are in German; .*", found["message"])
    assert said is not None
    assert 400 < int(said[1]) <= 500, "a sample of the 1,600 rows is looked at"
    assert 20 < float(said[3]) < 30


def test_english_texts_are_no_warning(make_task: Callable[..., str], store_root: Path, toy_rows: list[tuple[str, str]]) -> None:
    task = load_task(make_task(toy_rows))
    rows = Rows("s", list(range(len(toy_rows))), [text for text, _ in toy_rows], [label for _, label in toy_rows])
    assert find_unread(task, {"samples": rows}) == []


def test_texts_of_unknown_word_pieces_are_a_warning(make_task: Callable[..., str], store_root: Path) -> None:
    texts = ["🙃🙃 🙃🙃", "ꙮꙮ ꙮ"]
    assert unknown_share(locate_encoder("all-MiniLM-L6-v2"), texts) == 1.0
    (found,) = find_unread(load_task(make_task(GERMAN)), {"samples": Rows("s", [1, 2], list(texts), ["a", "b"])})
    assert (found.check, found.message[:39]) == ("unknown_words", "100 % of the word pieces are unknown to")


def test_encoder_that_is_not_here_is_no_error(make_task: Callable[..., str], store_root: Path) -> None:
    task = load_task(make_task(GERMAN, encoder={"name": "nowhere"}))
    assert find_unread(task, {"samples": Rows("s", [1], ["meine Karte"], ["a"])}) == []


def test_encoding_that_was_guessed_is_a_warning(make_task: Callable[..., str], store_root: Path) -> None:
    content = "text,label\ncafé au lait,x\nthé vert,x\nun train,y\nun avion,y\n".encode("cp1252")
    findings = json.loads((run_steps(load_task(make_task(content)), "validate")["validate"].path / "findings.json").read_text())
    (found,) = [finding for finding in findings if finding["check"] == "encoding"]
    assert found["message"].startswith("read as Windows-1252, because it is no UTF-8")
