"""Letters of labels: labels that a person takes for the same and a computer for two, and control characters."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Iterable
from functools import reduce
from typing import NamedTuple

__all__ = ["LookAlike", "find_look_alikes", "has_control"]


class LookAlike(NamedTuple):
    """Two labels that look alike."""

    label: str
    other: str
    difference: str
    """Kinds of their difference in words, such as `differ by case alone`."""

    def show(self, where: str = "") -> str:
        """Return both labels in quotes, and what they differ by.

        Args:
            where: text after the first label, such as its lines.
        """
        return f"{_shown(self.label)}{where} and {_shown(self.other)} {self.difference}"


def find_look_alikes(labels: Iterable[str], among: Iterable[str]) -> list[LookAlike]:
    """Return each label that looks like an earlier one.

    Args:
        labels: labels to find a look-alike of.
        among: labels that they are compared with. Of these, the first ones come first.
    """
    first: dict[str, str] = {}
    for other in among:
        first.setdefault(_folded(other, *FOLDS), other)
    found = ((label, first.get(_folded(label, *FOLDS), label)) for label in dict.fromkeys(labels))
    return [LookAlike(label, other, _difference(label, other)) for label, other in found if label != other]


def _difference(label: str, other: str) -> str:
    """Return what two labels that look alike differ by: as few kinds of difference as explain it."""
    kinds = (names for count in range(1, len(FOLDS) + 1) for names in itertools.combinations(FOLDS, count))
    found = next(names for names in kinds if _folded(label, *names) == _folded(other, *names))
    return f"differ by {' and '.join(found)} alone"


def has_control(label: str) -> bool:
    """Return whether a label has a control character, such as a line break or a tab."""
    return any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in label)


def _folded(label: str, *names: str) -> str:
    return reduce(lambda text, name: FOLDS[name](text), names, label)


def _without_format(label: str) -> str:
    """Return a label without format characters, such as a zero-width space or a mark of the writing direction."""
    return "".join(letter for letter in label if unicodedata.category(letter) != "Cf")


def _latin(label: str) -> str:
    """Return a label with Latin letters in place of those that look like them, such as a Cyrillic і (Unicode standard 39)."""
    if label.isascii():
        return label
    from confusable_homoglyphs.confusables import is_confusable

    found = is_confusable(label, preferred_aliases=["latin"], greedy=True) or []
    plain = {one["character"]: [form["c"] for form in one["homoglyphs"]] for one in found if not one["character"].isascii()}
    swaps = {letter: next((form for form in forms if form.isascii()), letter) for letter, forms in plain.items()}
    return label.translate(str.maketrans(swaps))


FOLDS: dict[str, Callable[[str], str]] = {
    "composed and decomposed accents": lambda label: unicodedata.normalize("NFC", label),
    "the width or style of letters": lambda label: unicodedata.normalize("NFKC", label),
    "invisible characters": _without_format,
    "white space or underscores": lambda label: "".join(label.replace("_", " ").split()),
    "look-alike letters": _latin,
    "case": str.casefold,
}
"""Kind of difference between two labels -> function that removes this difference from a label.

Two labels that differ in this way alone become the same text.
"""


def _shown(label: str) -> str:
    """Return a label in quotes. Letters beyond Latin-1 and decomposed ones are escaped if they hide among ASCII letters."""
    hidden = any(letter.isascii() and letter.isalpha() for letter in label) and _latin(label) != label
    return ascii(label) if hidden or not unicodedata.is_normalized("NFC", label) else repr(label)
