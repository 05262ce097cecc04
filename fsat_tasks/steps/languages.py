"""Warnings of texts that the task's encoder cannot read: in other languages, or in letters that it does not know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.data.readers import Rows
from fsat_tasks.encoders.languages import locate_if_here, read_languages, unknown_share
from fsat_tasks.inputs.languages import language_name
from fsat_tasks.quality.wording import PERCENT, plural
from fsat_tasks.tasks.task import Task

if TYPE_CHECKING:
    from fsat_tasks.data.checks import Finding

__all__ = ["find_unread", "languages_config"]

MOST_FOREIGN = 0.1
"""Share of the texts in languages that the encoder does not read, above which there is a warning. Of short English texts, up to
2 % look like another language."""
LEAST_FOREIGN = 3
"""Minimum number of such texts, if so many are in a language at all."""
MOST_NAMED = 3
"""Maximum number of languages that a warning names."""
MOST_UNKNOWN = 0.05
"""Share of unknown word pieces above which there is a warning. In a language that an encoder reads, hardly any is unknown."""
LOOKED_AT = 500
"""Number of texts of a file that are cut into word pieces."""
ADVICE = (
    "name an encoder that reads them under encoder.name in task.yaml, such as "
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
)


def languages_config(task: Task) -> dict[str, Any]:
    """Return what the findings depend on besides the texts, for the recipe of the step `validate`."""
    folder = locate_if_here(task.spec.encoder.name)
    return {"encoder": task.spec.encoder.name, "languages": None if folder is None else read_languages(folder)}


def find_unread(task: Task, files: Mapping[str, Rows]) -> list[Finding]:
    """Return a warning for each file with many texts that the encoder cannot read; none if the encoder is not on this machine.

    Args:
        files: split -> rows. Rows that are out of scope may be in any language.
    """
    folder = locate_if_here(task.spec.encoder.name)
    if folder is None or task.spec.inputs != "text":  # only texts are in a language
        return []
    known = read_languages(folder)
    judged = [rows for split, rows in files.items() if split != "out_of_scope"]
    return [finding for rows in judged for finding in _findings(task, folder, known, rows)]


def _findings(task: Task, folder: Path, known: list[str], rows: Rows) -> Iterator[Finding]:
    from fsat_tasks.data.checks import Finding

    texts = [row for row in rows.inputs if row is not None]
    if foreign := _foreign(task.modality.find_languages(texts), known):
        reads = " and ".join(language_name(code) for code in known)
        yield Finding("language", "warning", rows.file, f"{foreign}; {task.spec.encoder.name} reads {reads} ({ADVICE})")
    elif (share := unknown_share(folder, texts[:LOOKED_AT])) > MOST_UNKNOWN:
        message = f"{PERCENT.show(share)} of the word pieces are unknown to {task.spec.encoder.name} ({ADVICE})"
        yield Finding("unknown_words", "warning", rows.file, message)


def _foreign(found: Counter[str], known: list[str]) -> str | None:
    """Say which languages that are not known many texts are in, or return None."""
    foreign = Counter({code: count for code, count in found.items() if known and code not in known})
    if foreign.total() < MOST_FOREIGN * found.total() or foreign.total() < min(LEAST_FOREIGN, max(found.total(), 1)):
        return None
    total = found.total()
    counts = ", ".join(
        f"{count:,} ({PERCENT.show(count / total)}) are in {language_name(code)}"
        for code, count in foreign.most_common(MOST_NAMED)
    )
    return f"of {plural(total, 'text')} whose language is clear, {counts}"
