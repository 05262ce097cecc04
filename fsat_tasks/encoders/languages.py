"""Languages that an encoder reads, and the share of the texts' word pieces that it does not know."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

from fsat_tasks.encoders.source import locate_encoder, read_config
from fsat_tasks.encoders.text_preparer import load_tokenizer
from fsat_tasks.errors import EncoderError
from fsat_tasks.inputs.modality import Input
from fsat_tasks.runtime.failures import say_type
from fsat_tasks.runtime.regular_file import open_regular

__all__ = ["locate_if_here", "read_languages", "unknown_share"]

CARD = "README.md"
"""Model card in an encoder's folder. Its header names the languages, as the Hugging Face Hub has it."""
LARGEST_CARD = 1 << 20
"""Number of characters of a card that are read."""
MANY = ("multilingual", "mul")
"""Words that say that an encoder reads many languages. Its card may not name all of them."""


def locate_if_here(name: str) -> Path | None:
    """Return the folder of an encoder, or None if it is not on this machine: data can be checked without it."""
    try:
        return locate_encoder(name)
    except EncoderError:
        return None


def read_languages(folder: Path) -> list[str]:
    """Return the languages of the encoder in a folder, sorted; empty if its card names none, or says that it reads many."""
    try:
        with io.TextIOWrapper(open_regular(folder / CARD), "utf-8", "replace") as file:
            card = file.read(LARGEST_CARD)
    except OSError:
        return []
    header = re.match(r"---\r?\n(.*?)\r?\n---", card, re.DOTALL)
    named = re.search(r"^languages?:(.*(?:\n[ \t]*-[ \t].*)*)", header[1] if header else "", re.MULTILINE)
    found = set(re.findall(r"[a-z]{2,}", named[1].lower())) if named else set()
    return [] if found & set(MANY) else sorted(found)


def unknown_share(folder: Path, texts: Sequence[Input]) -> float:
    """Return the share of the word pieces of some texts that are the unknown one of the tokenizer in an encoder's folder.

    It is 0 if the folder has no tokenizer.json, or if the tokenizer knows every letter.

    Raises:
        EncoderError: if tokenizer.json is damaged.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        return 0.0
    model = read_config(path, folder.name).get("model")
    if not isinstance(model, dict):
        raise EncoderError(f"encoder {folder.name!r}", f"a tokenizer in {path}", "no 'model' in it")
    try:
        tokenizer = load_tokenizer(path)
    except Exception as error:  # `tokenizers` raises nothing more particular
        raise EncoderError(f"encoder {folder.name!r}", f"a tokenizer in {path}", f"{say_type(error):.200}") from None
    number = model.get("unk_id") if "unk_id" in model else tokenizer.token_to_id(model.get("unk_token") or "")
    if number is None:
        return 0.0
    pieces = [piece for text in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False) for piece in text.ids]
    return pieces.count(number) / max(len(pieces), 1)
