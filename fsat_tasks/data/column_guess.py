"""Guess which columns of a file have the texts and the labels, by their names."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["guess_label", "guess_text", "likely_columns", "only_text"]

TEXTS = (
    *("text", "texts", "body", "message", "description", "utterance", "content", "sentence", "question", "comment", "review"),
    *("nachricht", "anliegen", "beschreibung"),  # German
    *("texte", "mensaje", "descripción", "messaggio", "bericht"),  # French, Spanish, Italian, Dutch
)
"""Words in the names of columns with texts, the surest first."""
LABELS = (
    *("label", "labels", "class", "category", "intent", "queue", "topic", "tag", "tags"),
    *("kategorie", "klasse", "etikett", "thema"),  # German
    *("catégorie", "étiquette", "classe"),  # French
    *("categoría", "etiqueta", "clase"),  # Spanish
    *("categoria", "etichetta", "categorie"),  # Italian and Portuguese, Italian, Dutch
)
"""Words in the names of columns with labels, the surest first."""
LEAST_WORDS = 3
"""Minimum number of words in a cell of texts, on average."""
MOST_LABELS = 0.5
"""Maximum number of different labels, as a share of the rows."""


def guess_text(columns: Iterable[str]) -> str | None:
    """Return the column whose name says that it has the texts, or None."""
    return _guess(list(columns), TEXTS)


def guess_label(columns: Iterable[str]) -> str | None:
    """Return the column whose name says that it has the labels, or None."""
    return _guess(list(columns), LABELS)


def _guess(columns: Sequence[str], words: Sequence[str]) -> str | None:
    """Return the column that is named like one of the words, or else the one whose name ends with a word or has it in it."""
    split = {column: [part for part in re.split(r"[\W_]+", column.casefold()) if part] for column in columns}
    split = {column: own for column, own in split.items() if own[-1:] != ["id"]}
    for fits in (lambda own, word: own == [word], lambda own, word: own[-1:] == [word], lambda own, word: word in own):
        for word in words:
            if found := next((column for column, own in split.items() if fits(own, word)), None):
                return found
    return None


def only_text(columns: Mapping[str, Sequence[Any]]) -> str | None:
    """Return the only column, or the only one whose cells have several words; None if there are more or none."""
    words = {name: [len(str(value).split()) for value in own if value is not None] for name, own in columns.items()}
    texts = [name for name, own in words.items() if own and statistics.fmean(own) >= LEAST_WORDS]
    found = texts if len(columns) > 1 else list(columns)
    return found[0] if len(found) == 1 else None


def likely_columns(columns: Mapping[str, Sequence[Any]]) -> tuple[str, str]:
    """Return the columns to name in a command: the one with the longest cells, and another one with few different values."""
    cells = {column: [str(value) for value in values if value is not None] for column, values in columns.items()}
    lengths = {column: statistics.fmean(map(len, own)) if own else 0.0 for column, own in cells.items()}
    text = max(lengths, key=lengths.__getitem__, default="TEXT")
    few = [name for name, own in cells.items() if name != text and 1 < len(set(own)) <= MOST_LABELS * len(own)]
    other = [name for name in columns if name != text]
    return text, min(few or other, key=lambda name: len(set(cells[name])), default="LABEL")
