"""A BERT WordPiece tokenizer as an ONNX graph, so that a model takes texts; onnxruntime-extensions has what ONNX lacks.

Its `BertTokenizer` is not used: it leaves the accents of ā and č, and more, as they are, and reads one text at a time.
Here a table that the tokenizer itself has filled says what becomes of each character, for a whole batch at once.
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
"""They end a unit and a text inside the graph. A tokenizer that cleans texts drops them, as all characters for private use."""
ASSIGNED = [*range(0xD800), *range(0xF900, 0x40000), *range(0xE0000, 0xE1000)]
"""Code points that are, or may become, a character: not surrogates, private use, and planes that Unicode leaves empty."""

Nodes = list[tuple[str, list[str], list[str], dict[str, Any]]]
"""Operator, inputs, outputs, attributes."""
EXTENSIONS, ML = {"domain": "ai.onnx.contrib"}, {"domain": "ai.onnx.ml"}


@dataclass(frozen=True)
class _WordPiece:
    """What the graph needs to know of a tokenizer."""

    vocabulary: dict[str, int]
    unknown: str
    prefix: str
    """Of a token that goes on with a word."""
    longest_word: int
    """In characters; a longer one is unknown."""
    frame: tuple[str, str]
    """The tokens around a text."""
    pad_id: int
    max_tokens: int
    special: list[str]
    """Tokens that stand for themselves where a text has them."""
    characters: dict[str, str]
    """What becomes of a character that does not stay as it is: blanks around it make it a word of its own."""


def tokenizer_graph(path: Path) -> onnx.ModelProto:
    """From `texts` (n,) to `input_ids` and `attention_mask` (n, tokens), padded to the longest; exactly as tokenizer.json does.

    Raises:
        EncoderError: where the tokenizer is anything but BERT's WordPiece as transformers writes it.
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
    """The tokenizer's graph and behind it a model that takes its token ids. Both are changed."""
    import onnx

    front.ir_version = model.ir_version = max(front.ir_version, model.ir_version)
    joined: onnx.ModelProto = onnx.compose.merge_models(
        onnx.compose.add_prefix(front, "text.", rename_inputs=False, rename_outputs=False),
        model,
        io_map=[(name, name) for name in ("input_ids", "attention_mask")],
    )
    return joined


def _read(path: Path) -> _WordPiece:
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
        "BERT's WordPiece tokenizer, with one token before a text and one behind it",
        got,
        "Serve the model by its token ids, as its README.md says.",
    )


def _changed_characters(tokenizer: Any) -> dict[str, str]:
    """Of all Unicode, in one call: the normalizer looks at one character at a time, and leaves digits as they are."""
    apart = "0"
    characters = [chr(code) for code in ASSIGNED if chr(code) != apart]
    normalised = tokenizer.normalizer.normalize_str(apart.join(characters)).split(apart)
    different = sorted({letter for text in normalised for letter in text})
    words = tokenizer.pre_tokenizer.pre_tokenize_str(apart.join(different))
    alone = {word for word, _ in words if len(word) == 1 and word != apart}
    words_of = ("".join(f" {letter} " if letter in alone else letter for letter in after) for after in normalised)
    return {before: after for before, after in zip(characters, words_of, strict=True) if after != before}


def _units(tokenizer: _WordPiece) -> tuple[dict[str, Any], Nodes]:
    """`unit` (units,): the characters and special tokens of all texts, one after the other; TEXT stands between two texts."""
    import re

    first, last = tokenizer.frame
    special = "|".join(re.escape(token) for token in sorted(tokenizer.special, key=len, reverse=True))
    return {
        "unit.no_text": "",
        "unit.for_zero": UNIT,
        "unit.pattern": rf"(?s)\p{{Co}}|({special}|.)",  # what is for private use alone is dropped: \1 is empty
        "unit.rewrite": rf"\1{UNIT}",
        "unit.first": first + UNIT,
        "unit.last": last + UNIT,
        "unit.between": TEXT + UNIT,
    }, [
        # one more text, which `_rows` takes off again: the operators of the extensions crash where there is none
        ("Concat", [INPUT, "unit.no_text"], ["unit.texts"], {"axis": 0}),
        # and they end a text at a zero byte: another character that is dropped takes its place
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
    """`normal` (n,): the texts as words with blanks between them."""
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
    """`id` (pieces,) of all texts; `begin` and `end` (n * words,) of each word in them."""
    settings = {
        "vocab": json.dumps(tokenizer.vocabulary), "suffix_indicator": tokenizer.prefix, "unknown_token": tokenizer.unknown,
        "max_input_chars_per_word": tokenizer.longest_word,
    }  # fmt: skip
    ids = {
        "keys_strings": list(tokenizer.vocabulary), "values_int64s": list(tokenizer.vocabulary.values()),
        "default_int64": tokenizer.vocabulary[tokenizer.unknown],
    }  # fmt: skip
    return {"word.rows": np.empty(0, np.int64)}, [
        ("StringSplit", ["normal"], ["word.table", "word.count"], {}),  # (n, words); the rest of a row is empty words
        ("Reshape", ["word.table", "flat"], ["word"], {}),
        ("WordpieceTokenizer", ["word", "word.rows"], ["piece", "word.limits", "begin", "end"], settings | EXTENSIONS),
        ("LabelEncoder", ["piece"], ["id"], ids | ML),
    ]


def _one_unknown_a_word(tokenizer: _WordPiece) -> tuple[dict[str, Any], Nodes]:
    """`kept` (pieces,): all but those before the unknown token of a word, which the operator leaves in; `kept.id` their ids."""
    return {"bad.unknown": np.array(tokenizer.vocabulary[tokenizer.unknown]), "one": np.array(1), "zero": np.array(0)}, [
        ("Sub", ["end", "one"], ["bad.last"], {}),
        ("Gather", ["id", "bad.last"], ["bad.last_id"], {}),
        ("Equal", ["bad.last_id", "bad.unknown"], ["bad.is_unknown"], {}),
        ("Greater", ["end", "begin"], ["bad.is_word"], {}),
        ("And", ["bad.is_unknown", "bad.is_word"], ["bad"], {}),
        ("Cast", ["bad"], ["bad.plus"], {"to": 7}),  # 7: int64
        ("Neg", ["bad.plus"], ["bad.minus"], {}),
        ("Mul", ["begin", "bad.plus"], ["bad.from"], {}),  # of the other words: 0, where 0 is added
        ("Mul", ["bad.last", "bad.plus"], ["bad.to"], {}),
        ("Mul", ["id", "zero"], ["bad.zeros"], {}),
        ("ScatterElements", ["bad.zeros", "bad.from", "bad.plus"], ["bad.opened"], {"reduction": "add"}),
        ("ScatterElements", ["bad.opened", "bad.to", "bad.minus"], ["bad.edges"], {"reduction": "add"}),
        ("CumSum", ["bad.edges", "zero"], ["bad.inside"], {}),
        ("Equal", ["bad.inside", "zero"], ["kept"], {}),
        ("Compress", ["id", "kept"], ["kept.id"], {}),
    ]


def _rows(tokenizer: _WordPiece) -> tuple[dict[str, Any], Nodes]:
    """`input_ids` and `attention_mask` (n, tokens); of a text that is too long the last token stays, which closes it."""
    limits = {"row.max": np.array(tokenizer.max_tokens), "row.from": np.array([0]), "row.to": np.array([-1])}
    return {"row.pad": np.array(tokenizer.pad_id), **limits}, [
        ("Shape", ["word.table"], ["row.shape"], {}),
        ("Reshape", ["begin", "row.shape"], ["row.begins"], {}),
        ("Reshape", ["end", "row.shape"], ["row.ends"], {}),
        ("ReduceMin", ["row.begins", "last"], ["row.first_piece"], {}),  # (n, 1)
        ("ReduceMax", ["row.ends", "last"], ["row.end_piece"], {}),
        ("Sub", ["row.end_piece", "one"], ["row.last_piece"], {}),
        ("Cast", ["kept"], ["row.kept"], {"to": 7}),
        ("CumSum", ["row.kept", "zero"], ["row.number"], {}),  # of a piece among those that are kept, from 1
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
