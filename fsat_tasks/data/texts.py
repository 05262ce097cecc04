"""Properties and variants of texts: fingerprint, script, and perturbations such as typos."""

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
    """Return a form of the text that is equal for texts which differ only in case, character width, punctuation or spacing.

    If a text has only punctuation, only the spaces around it are removed.
    """
    folded = re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()
    return folded or text.strip()


def _script(text: str) -> str | None:
    """Return the most frequent script, such as LATIN, among the first 200 characters, or None if none is a letter."""
    names = Counter(unicodedata.name(letter, "?").split()[0] for letter in text[:200] if letter.isalpha())
    return names.most_common(1)[0][0] if names else None


TYPO_EVERY = 20
"""Number of characters per typo. A text gets at least one typo."""


def perturb(text: str, kind: str, seed: int) -> str:
    """Return the text with a change that keeps its meaning.

    Args:
        kind: kind of change, a key of KINDS.
        seed: seed of the change.
    """
    return KINDS[kind](text, random.Random(seed))  # noqa: S311, no secret


def _case(text: str, rng: random.Random) -> str:
    return rng.choice([text.upper(), text.lower(), text.title()])


def _typos(text: str, rng: random.Random) -> str:
    """Swap two neighbouring letters, double a letter or leave one out."""
    for _ in range(max(len(text) // TYPO_EVERY, 1)):
        places = [i for i in range(len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha()]
        if not places:
            break
        i = rng.choice(places)
        changed = rng.choice([text[i + 1] + text[i], text[i] * 2 + text[i + 1], text[i + 1]])
        text = text[:i] + changed + text[i + 2 :]
    return text


def _punctuation(text: str, rng: random.Random) -> str:
    """Remove all punctuation, or add some at the end."""
    bare = text.translate(str.maketrans("", "", string.punctuation))
    return rng.choice([bare, text + "!!", text + " ..."]) if bare.strip() else text


def _whitespace(text: str, rng: random.Random) -> str:
    """Add spaces and a line break around the text, and double some spaces inside it."""
    words = text.split(" ")
    return "  " + "".join(word + rng.choice([" ", "  "]) for word in words) + "\n"


KINDS: dict[str, Callable[[str, random.Random], str]] = {
    "case": _case,
    "typos": _typos,
    "punctuation": _punctuation,
    "whitespace": _whitespace,
}
"""Kind of change -> function that makes the change, for `perturb`."""


def read_texts(texts: Any, where: str) -> list[str]:
    """Check each text and return the texts as a list.

    Args:
        texts: a list, a one-dimensional array or another iterable of texts.
        where: name of the texts, for the error.

    Raises:
        DataError: if `texts` is not a list of texts, or if a row is not a text or cannot be encoded as UTF-8. The
            error names the row.
    """
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
