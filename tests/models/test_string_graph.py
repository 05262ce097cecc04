"""The tokenizer as a graph against the tokenizer itself: the same token ids, whatever the text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from fsat_tasks.encoders.kinds import find_encoder
from fsat_tasks.errors import EncoderError
from fsat_tasks.models.string_graph import ASSIGNED, tokenizer_graph
from fsat_tasks.models.strings import HARD_TEXTS, StringModel

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    """The bundled encoder's tokenizer.json, cut and padded as an export has it."""
    tokenizer = Tokenizer.from_file(str(find_encoder("all-MiniLM-L6-v2").folder / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    value: dict[str, Any] = json.loads(tokenizer.to_str())
    return value


@pytest.fixture
def make(written: dict[str, Any], tmp_path: Path) -> Make:
    """Write the tokenizer with other settings: make(pre_tokenizer={...}) -> its file."""

    def write(**settings: Any) -> Path:
        (tmp_path / "tokenizer.json").write_text(json.dumps(written | settings), "utf-8")
        return tmp_path / "tokenizer.json"

    return write


class Pair:
    """A tokenizer and its graph."""

    def __init__(self, path: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(path))
        self.graph = StringModel(tokenizer_graph(path).SerializeToString())

    def differ(self, texts: Sequence[str]) -> list[str]:
        ids, masks = self.graph.run(texts)
        rows = self.tokenizer.encode_batch(list(texts))
        return [
            text
            for text, row, *found in zip(texts, rows, ids, masks, strict=True)
            if [row.ids, row.attention_mask] != [part.tolist() for part in found]
        ]


@pytest.fixture(scope="module")
def pair(written: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Pair:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(json.dumps(written | {"truncation": written["truncation"] | {"max_length": 1024}}), "utf-8")
    return Pair(path)


def test_every_character_of_unicode_gives_the_tokens_of_the_tokenizer_alone_and_within_a_word(pair: Pair) -> None:
    letters = [chr(code) for code in [*ASSIGNED, *range(0xE000, 0xF900, 64), *range(0x40000, 0x110000, 4099)]]
    texts = ["".join(f"{letter} s{letter}s " for letter in letters[start : start + 150]) for start in range(0, len(letters), 150)]
    assert [text for start in range(0, len(texts), 64) for text in pair.differ(texts[start : start + 64])] == []


def test_hard_texts_give_the_tokens_of_the_tokenizer_in_a_batch_and_alone(pair: Pair) -> None:
    assert pair.differ(HARD_TEXTS) == []
    assert [text for text in HARD_TEXTS if pair.differ([text])] == []


PIECES = st.sampled_from(
    ["[CLS]", "[SEP]", "[MASK", "]", "##", " ", "\0", "\ue000", "\uf8fe", "\uf8ff", "play", "ing", "ü", "漢", "🙂"]
)
TEXTS = st.lists(st.text() | st.lists(PIECES).map("".join), max_size=5)


@given(TEXTS)
def test_any_texts_give_the_tokens_of_the_tokenizer(pair: Pair, texts: list[str]) -> None:
    assert pair.differ(texts) == []


def test_no_texts_give_no_rows(pair: Pair) -> None:
    assert [part.shape[0] for part in pair.graph.run([])] == [0, 0]


CASED = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
OTHER_FRAME = {"type": "BertProcessing", "sep": ["[MASK]", 103], "cls": ["[UNK]", 100]}


@pytest.mark.parametrize(
    "settings",
    [{"normalizer": CASED}, {"normalizer": CASED | {"strip_accents": True}, "post_processor": OTHER_FRAME}],
    ids=["cased", "cased-no-accents-other-frame"],
)
def test_settings_of_the_tokenizer_are_those_of_the_graph(make: Make, settings: dict[str, Any]) -> None:
    assert Pair(make(**settings)).differ([*HARD_TEXTS, "[C\0LS]", "[CL\ue000S]"]) == []


BERT = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}


@pytest.mark.parametrize(
    ("settings", "got"),
    [
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer Whitespace"),
        ({"normalizer": None}, "normalizer None"),
        ({"normalizer": BERT | {"clean_text": False}}, "control characters"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "query: "}, BERT]}}, "Sequence"),
        ({"post_processor": None}, r"\[UNK\] around a text"),
        ({"added_tokens": [{"id": 30522, "content": "fsat", "single_word": False, "lstrip": False, "rstrip": False,
                            "normalized": False, "special": False}]}, "added beside"),
    ],
)  # fmt: skip
def test_other_tokenizers_are_refused_by_what_is_other(make: Make, settings: dict[str, Any], got: str) -> None:
    with pytest.raises(EncoderError, match=rf"tokenizer\.json: expected BERT's WordPiece.*{got}"):
        tokenizer_graph(make(**settings))
