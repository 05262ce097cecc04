"""Find oddities of rows: duplicates, near duplicates, conflicting labels, leaks and scripts. Each kind gets a table column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from fsat_tasks.data.readers import Rows
from fsat_tasks.data.texts import _script, fingerprint
from fsat_tasks.tasks.spec import ValidationSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["common_script", "count_scripts", "find_oddities"]


NEAR_DUPLICATE_ROWS = 20_000
"""Number of rows above which near duplicates are not searched for, because the search takes quadratic time."""
SCRIPT_ROWS = 1_000
"""Number of rows at the start of each file whose scripts are counted to find the common script."""


def find_oddities(files: Mapping[str, Rows], bounds: ValidationSpec, common: str | None) -> dict[str, pd.DataFrame]:
    """Return one table per split, with a column for each oddity. None means that the row does not have this oddity."""
    import pandas as pd

    frames: dict[str, pd.DataFrame] = {}
    for split, rows in files.items():
        labels = rows.labels or [None] * len(rows.lines)
        frame = pd.DataFrame({"line": rows.lines, "text": rows.texts, "label": labels}, dtype=object)
        frame["clean"] = _column(text if text and text.strip() else None for text in rows.texts)
        frame["print"] = _column(fingerprint(text) if text else None for text in frame["clean"])
        frame["duplicate_of"] = _column(_first_lines(frame["print"], rows.lines))
        frame["odd_script"] = _column(_odd_script(text, common) for text in frame["clean"])
        frames[split] = frame
    if "samples" in frames:
        samples = frames["samples"]
        samples["shots"] = samples["label"].map(samples["label"].value_counts())
        samples["imbalance"] = samples["shots"] / (samples["shots"].min() or 1)
    labelled = [frames[split] for split in ("samples", "query") if split in frames]
    for frame in labelled:
        frame["conflict"] = _column(_conflicts(frame))
        frame["near_duplicate_of"] = _column(_near_lines(frame, frame, bounds.near_duplicate))
    if "query" in frames:
        query = frames["query"]
        known = set(samples["label"])
        query["unknown_label"] = _column(None if label in known else label for label in query["label"])
        line_of = dict(zip(samples["print"], samples["line"], strict=True))
        query["leaked_from"] = _column(line_of.get(mark) if mark else None for mark in query["print"])
        near = _near_lines(query, samples, bounds.near_duplicate)
        pairs = zip(query["leaked_from"], near, strict=True)
        query["nearly_leaked_from"] = _column(None if exact else line for exact, line in pairs)
    return {split: frame.astype(object).where(frame.notna(), None) for split, frame in frames.items()}


def _column(values: Iterable[object]) -> pd.Series:
    """Return a column in which None stays None. By default pandas would turn it into NaN, which counts as true."""
    import pandas as pd

    return pd.Series(list(values), dtype=object)


def _first_lines(marks: Iterable[str | None], lines: list[int]) -> list[int | None]:
    """Return, for each row, the line of the first row that has the row's mark, or None if the row itself is the first."""
    first: dict[str, int] = {}
    return [
        None if mark is None or first.setdefault(mark, line) == line else first[mark]
        for mark, line in zip(marks, lines, strict=True)
    ]


def _conflicts(frame: pd.DataFrame) -> list[str | None]:
    """Return, for each row, all labels that its text has in the table, or None if there is at most one."""
    labels: dict[str, set[str]] = {}
    for mark, label in zip(frame["print"], frame["label"], strict=True):
        if mark and label:
            labels.setdefault(mark, set()).add(label)
    return [", ".join(sorted(labels[mark])) if mark in labels and len(labels[mark]) > 1 else None for mark in frame["print"]]


def _near_lines(rows: pd.DataFrame, among: pd.DataFrame, threshold: float) -> list[int | None]:
    """Return, for each row, the line of a row in `among` with nearly the same text, or None.

    Exact repeats do not count. If `among` is the table `rows` itself, each row is compared only with the rows before it.

    Args:
        threshold: minimum cosine similarity of the texts' character trigrams, weighted by TF-IDF.
    """
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    found: list[int | None] = [None] * len(rows)
    marks, others = [list(frame["print"].fillna("")) for frame in (rows, among)]
    if len(rows) + len(among) > NEAR_DUPLICATE_ROWS or not any(others):
        return found
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3)).fit(others)
    left, right = vectorizer.transform(marks), vectorizer.transform(others).T.tocsr()
    lines = among["line"].to_numpy()
    for start in range(0, len(marks), 1000):
        similar = (left[start : start + 1000] @ right).tocoo()  # (1000 or fewer, len(among))
        for row, other in zip(*(side[similar.data >= threshold] for side in similar.coords), strict=True):
            earlier = among is not rows or other < start + row
            if earlier and marks[start + row] != others[other] and found[start + row] is None:
                found[start + row] = int(np.asarray(lines)[other])
    return found


def count_scripts(files: Iterable[Rows]) -> Counter[str]:
    """Count the scripts of the texts, such as LATIN, in the first SCRIPT_ROWS rows of each file."""
    found = (_script(text) for rows in files for text in rows.texts[:SCRIPT_ROWS] if text)
    return Counter(script for script in found if script)


def common_script(scripts: Counter[str]) -> str | None:
    """Return the most frequent script, or None if no text has a letter."""
    return max(sorted(scripts), key=scripts.__getitem__) if scripts else None


def _odd_script(text: str | None, common: str | None) -> str | None:
    """Return the script of a text if it is not the common one, else None."""
    script = _script(text) if text else None
    return script if script not in (None, common) else None
