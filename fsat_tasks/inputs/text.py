"""Texts as the rows of a task."""

from __future__ import annotations

import random
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

from fsat_tasks.inputs.cells import read_cell
from fsat_tasks.inputs.languages import find_languages
from fsat_tasks.inputs.markup import has_markup, strip_markup
from fsat_tasks.inputs.modality import Modality, Place

__all__ = ["Texts", "fingerprint"]

LONG_TEXT = 1_000
"""Length in characters above which most encoders cut a text."""
TYPO_EVERY = 20
"""Number of characters per typo. A text gets at least one typo."""
BLOCK = 1000
"""Number of texts that are compared with all others at a time."""


def fingerprint(text: str) -> str:
    """Return a form of the text that is equal for texts which differ only in case, character width, punctuation or spacing.

    If a text has only punctuation, only the spaces around it are removed.
    """
    folded = re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()
    return folded or text.strip()


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


class Texts(Modality):
    """Texts. The notation of a text is the text itself."""

    noun: ClassVar = "text"
    oddities: ClassVar = {
        "length": f"a text over {LONG_TEXT:,} characters, of which the model may read only the beginning",
        "script": "another writing system than in most rows",
    }
    perturbations: ClassVar = {"case": _case, "typos": _typos, "punctuation": _punctuation, "whitespace": _whitespace}

    def columns(self, text: str) -> tuple[str, ...]:
        """Return the text column."""
        return (text,)

    def read(self, cells: Sequence[object], place: Place, longest: int) -> str | None:
        """Return the text, or None if the cell is empty or has only white space."""
        text = read_cell(cells[0], place.of(0), longest)
        return text if text and text.strip() else None

    def read_line(self, line: str, where: str) -> str:
        """Return the line as it is, even if it is blank."""
        return line

    def cells(self, row: str) -> tuple[str, ...]:
        """Return the text."""
        return (row,)

    def fingerprint(self, row: str) -> str:
        """Return a form of the text without case, character width, punctuation and spacing; see `fingerprint`."""
        return fingerprint(row)

    def similar(self, marks: Sequence[str], others: Sequence[str], threshold: float) -> Iterator[tuple[int, int]]:
        """Yield pairs whose cosine similarity of character trigrams, weighted by TF-IDF, reaches the threshold."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3)).fit(others)
        left, right = vectorizer.transform(marks), vectorizer.transform(others).T.tocsr()
        for start in range(0, len(marks), BLOCK):
            similar = (left[start : start + BLOCK] @ right).tocoo()  # (BLOCK or fewer, len(others))
            for row, other in zip(*(side[similar.data >= threshold].tolist() for side in similar.coords), strict=True):
                yield start + row, other

    def trait(self, row: str) -> str | None:
        """Return the most frequent script, such as LATIN, among the first 200 characters, or None if none is a letter."""
        names = Counter(unicodedata.name(letter, "?").split()[0] for letter in row[:200] if letter.isalpha())
        return names.most_common(1)[0][0] if names else None

    def find_languages(self, rows: Sequence[str]) -> Counter[str]:
        """Return language -> number of texts that are surely in it; see `languages.find_languages`."""
        return find_languages(rows)

    def clean(self, cell: str) -> str:
        """Return the words of a cell without tags of HTML."""
        return strip_markup(cell)

    def has_markup(self, row: str) -> bool:
        """Return whether the text has tags of HTML."""
        return has_markup(row)

    def find_oddities(self, row: str, usual: str | None) -> Collection[str]:
        """Return `length` for a long text, and `script` for another writing system than the usual one."""
        script = self.trait(row)
        found = {"length": len(row) > LONG_TEXT, "script": script not in (None, usual)}
        return [name for name, odd in found.items() if odd]

    def anchor(self, words: str) -> str:
        """Return the words, because they are a text."""
        return words
