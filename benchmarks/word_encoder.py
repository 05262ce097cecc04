"""A tiny text encoder with words for tokens, and texts of a few words. All steps take a second with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

__all__ = ["WORDS", "draw_text", "write_word_encoder"]

WORDS = {
    "sea": ["wave", "tide", "salt", "shore", "gull", "boat"],
    "wood": ["tree", "moss", "fern", "bark", "deer", "trail"],
    "town": ["street", "tram", "shop", "lamp", "square", "bridge"],
    "good": ["lovely", "bright", "warm", "splendid"],
    "bad": ["dreary", "cold", "broken", "dull"],
    "any": ["the", "a", "we", "saw", "went", "there", "today", "again", "old", "new"],
}
"""Kind of word -> its words."""
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
DIM, LAYERS = 32, 2


def write_word_encoder(folder: Path) -> None:
    """Write a BERT of two blocks with random weights, and a tokenizer that knows WORDS and the digits."""
    folder.mkdir(parents=True)
    words = [*SPECIAL, *(word for kind in WORDS.values() for word in kind), *WORDS, *map(str, range(10)), "and", "star", "stars"]
    words = list(dict.fromkeys(words))
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=DIM,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    BertModel(config).save_pretrained(folder, safe_serialization=True)


def draw_text(kinds: Sequence[str], rng: np.random.Generator) -> str:
    """Draw a text with three words of each of these kinds, in random order, and two words that say nothing."""
    words = [word for kind in kinds for word in rng.choice(WORDS[kind], 3, replace=False)]
    words += list(rng.choice(WORDS["any"], 2, replace=False))
    return " ".join(rng.permutation(words))
