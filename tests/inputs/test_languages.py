"""Languages and markup of texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.inputs.languages import find_languages
from fsat_tasks.inputs.markup import has_markup, strip_markup

SENTENCES = {
    "en": ["my card has not arrived yet", "the app does not let me log in", "where is the parcel that I ordered"],
    "de": ["meine Karte ist noch nicht angekommen", "ich kann mich nicht anmelden", "wo bleibt das Paket, das ich bestellt habe"],
    "es": ["mi tarjeta todavía no ha llegado", "la aplicación no me deja entrar", "dónde está el paquete que pedí"],
    "zh": ["我的卡还没有到，请问什么时候能到", "我无法登录我的账户", "我订购的包裹在哪里"],
}


@pytest.mark.parametrize("language", SENTENCES)
def test_most_texts_are_in_their_language(language: str) -> None:
    found = find_languages(SENTENCES[language] * 5)
    assert found.most_common(1)[0][0] == language
    assert found[language] >= 0.8 * found.total()


def test_short_texts_are_judged_together() -> None:
    texts = ["hello", "atm", "PIN blocked", "exchange rate", "top up", "refund", "lost card", "my order", "too late", "log in"]
    assert [find_languages([text]).total() for text in texts] == [0] * len(texts)
    assert find_languages(texts) == {"en": 1}


def test_numbers_are_in_no_language() -> None:
    assert find_languages(["12345", "#77-1", "..."]) == {}
    assert find_languages([]) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('<div class="zd-comment"><p>Hi team,</p><p>it &amp; that</p></div>', "Hi team,\nit & that"),
        ("one<br/>two <b>bold</b>", "one\ntwo bold"),
        ("<style>p {color: red}</style><p>seen</p><script>x()</script>", "seen"),
        ("<p>open <a href='x'>link", "open link"),
        ("dear <name>, 1 < 2 and a > b &amp; c", "dear <name>, 1 < 2 and a > b &amp; c"),
        ("mail <me@example.org>", "mail <me@example.org>"),
    ],
)
def test_tags_of_html_go_and_other_brackets_stay(text: str, words: str) -> None:
    assert strip_markup(text) == words
    assert has_markup(text) == (text != words)


@given(st.text())
def test_stripped_text_has_no_tags_of_its_own_and_is_not_longer(text: str) -> None:
    assert len(strip_markup(f"<p>{text}</p>")) <= len(text) * 2 + 7
