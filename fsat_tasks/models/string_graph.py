"""A BERT WordPiece tokenizer as an ONNX graph, so that a model can take texts.

Operators that ONNX lacks come from onnxruntime-extensions. Its `BertTokenizer` is not used, because it keeps some
accents, such as those of ā and č, and reads one text at a time. Instead, a table maps each character to its normalised
form, for a whole batch at once. The original tokenizer makes the table.

A *unit* is a character or a special token of a text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fsat_tasks.errors import EncoderError

if TYPE_CHECKING:
    import onnx

__all__ = ["INPUT", "join_tokenizer", "tokenizer_graph"]

INPUT = "texts"
UNIT, TEXT = "\uf8fe", "\uf8ff"
"""Characters that mark the end of a unit and of a text inside the graph. A text cannot hold them, because `_units` drops all
private-use characters from the texts."""
ASSIGNED = [*range(0xD800), *range(0xF900, 0x40000), *range(0xE0000, 0xE1000)]
"""Code points that are or may become characters: all except surrogates, private-use characters and empty planes."""

Nodes = list[tuple[str, list[str], list[str], dict[str, Any]]]
"""Operator, inputs, outputs and attributes of each node."""
EXTENSIONS, ML = {"domain": "ai.onnx.contrib"}, {"domain": "ai.onnx.ml"}


@dataclass(frozen=True)
class _WordPiece:
    """The properties of a tokenizer that the graph needs."""

    vocabulary: dict[str, int]
    unknown: str
    prefix: str
    """Prefix of a token that continues a word."""
    longest_word: int
    """Maximum number of characters of a word. A longer word is unknown."""
    frame: tuple[str, str]
    """The tokens before and after each text."""
    pad_id: int
    max_tokens: int
    special: list[str]
    """Tokens that are kept as they are if they occur in a text."""
    characters: dict[str, str]
    """Character -> replacement, for characters that change. Blanks around a replacement make it a word of its own."""


def tokenizer_graph(path: Path) -> onnx.ModelProto:
    """Make the graph from `texts` (n,) to `input_ids` and `attention_mask` (n, tokens), padded to the longest text.

    The ids are exactly those that the tokenizer in tokenizer.json gives.

    Raises:
        EncoderError: the tokenizer is not BERT's WordPiece in the form that transformers writes.
    """
    import onnx
    from onnx import TensorProto, helper

    tokenizer = _read(path)
    constants: dict[str, Any] = {"flat": np.array([-1]), "first": np.array([0]), "last": np.array([1])}
    nodes: Nodes = []
    for part in (_units, _normalise, _word_pieces, _one_unknown_a_word, _rows):
        some_constants, some_nodes = part(tokenizer)
        constants |= some_constants
        nodes += some_nodes
    ids = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "tokens"]) for name in ("input_ids", "attention_mask")]
    graph = helper.make_graph(
        [helper.make_node(*node[:3], **node[3]) for node in nodes],
        "tokenizer",
        [helper.make_tensor_value_info(INPUT, TensorProto.STRING, ["n"])],
        ids,
        [_tensor(name, value) for name, value in constants.items()],
    )
    domains = (("", 20), (ML["domain"], 3), (EXTENSIONS["domain"], 1))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*domain) for domain in domains], ir_version=10)
    onnx.checker.check_model(model)
    return model


def join_tokenizer(front: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """Join the tokenizer's graph and a model that takes its token ids. Both arguments are changed."""
    import onnx

    front.ir_version = model.ir_version = max(front.ir_version, model.ir_version)
    joined: onnx.ModelProto = onnx.compose.merge_models(
        onnx.compose.add_prefix(front, "text.", rename_inputs=False, rename_outputs=False),
        model,
        io_map=[(name, name) for name in ("input_ids", "attention_mask")],
    )
    return joined


def _read(path: Path) -> _WordPiece:
    """Read a tokenizer.json. Raises EncoderError if the graph cannot reproduce it."""
    from tokenizers import Tokenizer

    tokenizer, written = Tokenizer.from_file(str(path)), json.loads(path.read_text("utf-8"))
    model, padding, truncation = written["model"], tokenizer.padding, tokenizer.truncation
    kinds = {name: (written[name] or {}).get("type") for name in ("normalizer", "pre_tokenizer", "model")}
    if kinds != {"normalizer": "BertNormalizer", "pre_tokenizer": "BertPreTokenizer", "model": "WordPiece"}:
        raise _unsupported(path, ", ".join(f"{name} {kind}" for name, kind in kinds.items()))
    if not written["normalizer"]["clean_text"]:
        raise _unsupported(path, "a normalizer that leaves control characters in")
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    special = [token["content"] for token in written["added_tokens"]]
    if any(
        token["normalized"] or token["single_word"] or vocabulary.get(token["content"]) != token["id"]
        for token in written["added_tokens"]
    ):
        raise _unsupported(path, "tokens added beside its vocabulary")
    framed = tokenizer.encode(model["unk_token"]).tokens
    if len(framed) != 3 or framed[1] != model["unk_token"] or any(token not in special for token in framed):
        raise _unsupported(path, f"{' '.join(framed)} around a text")
    assert padding and truncation and truncation["direction"] == "right", "export_encoder sets them"
    return _WordPiece(
        vocabulary,
        model["unk_token"],
        model["continuing_subword_prefix"],
        model["max_input_chars_per_word"],
        (framed[0], framed[2]),
        padding["pad_id"],
        truncation["max_length"],
        special,
        _changed_characters(tokenizer),
    )


def _unsupported(path: Path, got: str) -> EncoderError:
    return EncoderError(
        str(path),
        "BERT's WordPiece tokenizer, with one token before a text and one after it",
        got,
        "Serve the model by its token ids, as its README.md says.",
    )


def _changed_characters(tokenizer: Any) -> dict[str, str]:
    """Return character -> replacement, for all characters of Unicode that the tokenizer changes.

    All characters are normalised in one call, as one text with a digit after each character. This works because the
    normalizer treats each character by itself and leaves digits as they are.
    """
    apart = "0"
    characters = [chr(code) for code in ASSIGNED if chr(code) != apart]
    normalised = tokenizer.normalizer.normalize_str(apart.join(characters)).split(apart)
    different = sorted({letter for text in normalised for letter in text})
    words = tokenizer.pre_tokenizer.pre_tokenize_str(apart.join(different))
    alone = {word for word, _ in words if len(word) == 1 and word != apart}
    words_of = ("".join(f" {letter} " if letter in alone else letter for letter in after) for after in normalised)
    return {before: after for before, after in zip(characters, words_of, strict=True) if after != before}


def _units(tokenizer: _WordPiece) -> tuple[dict[str, Any], Nodes]:
    """Make `unit` (units,): the units of all texts, one after the other, with TEXT between two texts."""
    import re

    first, last = tokenizer.frame
    special = "|".join(re.escape(token) for token in sorted(tokenizer.special, key=len, reverse=True))
    return {
        "unit.no_text": "",
        "unit.for_zero": UNIT,
        "unit.pattern": rf"(?s)\p{{Co}}|({special}|.)",  # private-use characters are dropped: \1 is empty for them
        "unit.rewrite": rf"\1{UNIT}",
        "unit.first": first + UNIT,
        "unit.last": last + UNIT,
        "unit.between": TEXT + UNIT,
    }, [
        # an empty text is added, because the extensions' operators crash if there is no text; `_rows` removes it
        ("Concat", [INPUT, "unit.no_text"], ["unit.texts"], {"axis": 0}),
        # the operators would end a text at a zero byte, so UNIT replaces it; `unit.pattern` then drops this UNIT
        ("StringSplit", ["unit.texts"], ["unit.parts", "unit.part_count"], {"delimiter": "\0"}),
        ("StringJoin", ["unit.parts", "unit.for_zero", "last"], ["unit.text"], EXTENSIONS),
        ("StringRegexReplace", ["unit.text", "unit.pattern", "unit.rewrite"], ["unit.marked"], EXTENSIONS),
        ("StringConcat", ["unit.first", "unit.marked"], ["unit.opened"], {}),
        ("StringConcat", ["unit.opened", "unit.last"], ["unit.framed"], {}),
        ("StringJoin", ["unit.framed", "unit.between", "first"], ["unit.joined"], EXTENSIONS),
        ("StringSplit", ["unit.joined"], ["unit.row", "unit.count"], {"delimiter": UNIT}),
        ("Reshape", ["unit.row", "flat"], ["unit"], {}),
    ]


def _normalise(tokenizer: _WordPiece) -> tuple[dict[str, Any], Nodes]:
    """Make `normal` (n,): the normalised texts, with blanks between their words."""
    table = tokenizer.characters | {token: f" {token} " for token in tokenizer.special}
    lookup = {"keys_strings": list(table), "values_strings": list(table.values()), "default_string": UNIT}
    return {"normal.unchanged": UNIT, "normal.nothing": ""}, [
        ("LabelEncoder", ["unit"], ["normal.looked_up"], lookup | ML),
        ("Equal", ["normal.looked_up", "normal.unchanged"], ["normal.same"], {}),
        ("Where", ["normal.same", "unit", "normal.looked_up"], ["normal.unit"], {}),
        ("StringJoin", ["normal.unit", "normal.nothing", "first"], ["normal.joined"], EXTENSIONS),
        ("StringSplit", ["normal.joined"], ["normal.row", "normal.count"], {"delimiter": TEXT}),
        ("Reshape", ["normal.row", "flat"], ["normal"], {}),
    ]


def _word_pieces(tokenizer: _WordPiece) -> tuple[dict[str, Any], Nodes]:
    """Make `id` (pieces,), the ids of all texts, and `begin` and `end` (n * words,), the range of each word's pieces."""
    settings = {
        "vocab": json.dumps(tokenizer.vocabulary), "suffix_indicator": tokenizer.prefix, "unknown_token": tokenizer.unknown,
        "max_input_chars_per_word": tokenizer.longest_word,
    }  # fmt: skip
    ids = {
        "keys_strings": list(tokenizer.vocabulary), "values_int64s": list(tokenizer.vocabulary.values()),
        "default_int64": tokenizer.vocabulary[tokenizer.unknown],
    }  # fmt: skip
    return {"word.rows": np.empty(0, np.int64)}, [
        ("StringSplit", ["normal"], ["word.table", "word.count"], {}),  # (n, words), short rows filled with empty words
        ("Reshape", ["word.table", "flat"], ["word"], {}),
        ("WordpieceTokenizer", ["word", "word.rows"], ["piece", "word.limits", "begin", "end"], settings | EXTENSIONS),
        ("LabelEncoder", ["piece"], ["id"], ids | ML),
    ]


def _one_unknown_a_word(tokenizer: _WordPiece) -> tuple[dict[str, Any], Nodes]:
    """Make `kept` (pieces,), a mask of the pieces to keep, and `kept.id`, the ids of these pieces.

    A word with an unknown part must become the unknown token and nothing else. The operator also returns the pieces
    before the unknown part. They are dropped here.
    """
    return {"bad.unknown": np.array(tokenizer.vocabulary[tokenizer.unknown]), "one": np.array(1), "zero": np.array(0)}, [
        ("Sub", ["end", "one"], ["bad.last"], {}),
        ("Gather", ["id", "bad.last"], ["bad.last_id"], {}),
        ("Equal", ["bad.last_id", "bad.unknown"], ["bad.is_unknown"], {}),
        ("Greater", ["end", "begin"], ["bad.is_word"], {}),
        ("And", ["bad.is_unknown", "bad.is_word"], ["bad"], {}),
        ("Cast", ["bad"], ["bad.plus"], {"to": 7}),  # 7: int64
        ("Neg", ["bad.plus"], ["bad.minus"], {}),
        ("Mul", ["begin", "bad.plus"], ["bad.from"], {}),  # for words without an unknown part, 0 is added at index 0
        ("Mul", ["bad.last", "bad.plus"], ["bad.to"], {}),
        ("Mul", ["id", "zero"], ["bad.zeros"], {}),
        ("ScatterElements", ["bad.zeros", "bad.from", "bad.plus"], ["bad.opened"], {"reduction": "add"}),
        ("ScatterElements", ["bad.opened", "bad.to", "bad.minus"], ["bad.edges"], {"reduction": "add"}),
        ("CumSum", ["bad.edges", "zero"], ["bad.inside"], {}),
        ("Equal", ["bad.inside", "zero"], ["kept"], {}),
        ("Compress", ["id", "kept"], ["kept.id"], {}),
    ]


def _rows(tokenizer: _WordPiece) -> tuple[dict[str, Any], Nodes]:
    """Make `input_ids` and `attention_mask` (n, tokens). A text that is too long is cut before its closing token."""
    limits = {"row.max": np.array(tokenizer.max_tokens), "row.from": np.array([0]), "row.to": np.array([-1])}
    return {"row.pad": np.array(tokenizer.pad_id), **limits}, [
        ("Shape", ["word.table"], ["row.shape"], {}),
        ("Reshape", ["begin", "row.shape"], ["row.begins"], {}),
        ("Reshape", ["end", "row.shape"], ["row.ends"], {}),
        ("ReduceMin", ["row.begins", "last"], ["row.first_piece"], {}),  # (n, 1)
        ("ReduceMax", ["row.ends", "last"], ["row.end_piece"], {}),
        ("Sub", ["row.end_piece", "one"], ["row.last_piece"], {}),
        ("Cast", ["kept"], ["row.kept"], {"to": 7}),
        ("CumSum", ["row.kept", "zero"], ["row.number"], {}),  # number of each piece among the kept ones, from 1
        ("Gather", ["row.number", "row.first_piece"], ["row.first_number"], {}),
        ("Gather", ["row.number", "row.last_piece"], ["row.stop"], {}),
        ("Sub", ["row.first_number", "one"], ["row.start"], {}),
        ("Sub", ["row.stop", "row.start"], ["row.whole"], {}),
        ("Min", ["row.whole", "row.max"], ["row.length"], {}),
        ("ReduceMax", ["row.length"], ["row.width"], {"keepdims": 0}),
        ("Range", ["zero", "row.width", "one"], ["row.column"], {}),  # (tokens,)
        ("Add", ["row.start", "row.column"], ["row.next"], {}),  # (n, tokens)
        ("Sub", ["row.stop", "one"], ["row.closing"], {}),
        ("Sub", ["row.length", "one"], ["row.last_column"], {}),
        ("Equal", ["row.column", "row.last_column"], ["row.closes"], {}),
        ("Where", ["row.closes", "row.closing", "row.next"], ["row.at"], {}),
        ("Less", ["row.column", "row.length"], ["row.inside"], {}),
        ("Where", ["row.inside", "row.at", "zero"], ["row.safe"], {}),
        ("Gather", ["kept.id", "row.safe"], ["row.id"], {}),
        ("Where", ["row.inside", "row.id", "row.pad"], ["row.ids"], {}),
        ("Cast", ["row.inside"], ["row.mask"], {"to": 7}),
        ("Slice", ["row.ids", "row.from", "row.to"], ["input_ids"], {}),
        ("Slice", ["row.mask", "row.from", "row.to"], ["attention_mask"], {}),
    ]


def _tensor(name: str, value: Any) -> onnx.TensorProto:
    from onnx import TensorProto, helper, numpy_helper

    if isinstance(value, str):
        return helper.make_tensor(name, TensorProto.STRING, [1], [value.encode()])
    return numpy_helper.from_array(value, name)
