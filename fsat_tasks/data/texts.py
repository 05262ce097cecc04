"""What is told of a text: its fingerprint, its script, whether it can be encoded, and how people mistype it."""

from __future__ import annotations

import random
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

from fsat_tasks.errors import DataError

__all__ = ["KINDS", "fingerprint", "perturb", "read_texts"]


def fingerprint(text: str) -> str:
    """A text without case, width, punctuation or spacing; the text itself where nothing would be left."""
    folded = re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()
    return folded or text.strip()


def _script(text: str) -> str | None:
    """The script that most letters of a text belong to, such as LATIN; None where it has no letters."""
    names = Counter(unicodedata.name(letter, "?").split()[0] for letter in text[:200] if letter.isalpha())
    return names.most_common(1)[0][0] if names else None


TYPO_EVERY = 20
"""Letters for each typo; at least one a text."""


def perturb(text: str, kind: str, seed: int) -> str:
    """The text, changed in a way that does not change its meaning; the same for the same seed."""
    return KINDS[kind](text, random.Random(seed))  # noqa: S311, no secret


def _case(text: str, rng: random.Random) -> str:
    return rng.choice([text.upper(), text.lower(), text.title()])


def _typos(text: str, rng: random.Random) -> str:
    """Two neighbouring letters swapped, a letter doubled or left out."""
    for _ in range(max(len(text) // TYPO_EVERY, 1)):
        places = [i for i in range(len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha()]
        if not places:
            break
        i = rng.choice(places)
        changed = rng.choice([text[i + 1] + text[i], text[i] * 2 + text[i + 1], text[i + 1]])
        text = text[:i] + changed + text[i + 2 :]
    return text


def _punctuation(text: str, rng: random.Random) -> str:
    """All of it gone, or some more at the end."""
    bare = text.translate(str.maketrans("", "", string.punctuation))
    return rng.choice([bare, text + "!!", text + " ..."]) if bare.strip() else text


def _whitespace(text: str, rng: random.Random) -> str:
    """Blanks around it, and some of those within made two."""
    words = text.split(" ")
    return "  " + "".join(word + rng.choice([" ", "  "]) for word in words) + "\n"


KINDS: dict[str, Callable[[str, random.Random], str]] = {
    "case": _case,
    "typos": _typos,
    "punctuation": _punctuation,
    "whitespace": _whitespace,
}


def read_texts(texts: Any, where: str) -> list[str]:
    """The texts as a list. Raises DataError, which names the row, for what is no text."""
    if isinstance(texts, str | bytes | Mapping | Set) or getattr(texts, "ndim", 1) != 1 or not isinstance(texts, Iterable):
        raise DataError(where, "a list of texts", "one text" if isinstance(texts, str) else type(texts).__name__)
    rows = list(texts)
    for number, text in enumerate(rows, start=1):
        if not isinstance(text, str):
            raise DataError(f"{where}, row {number}", "a text", "none" if text is None else type(text).__name__)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise DataError(f"{where}, row {number}", "a text", "half of a surrogate pair") from None
    return rows
