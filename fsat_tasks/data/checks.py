"""Data checks, as one Great Expectations suite per file.

Each row first gets columns that say what is unusual about it, such as the line of its near duplicate or its
script. Then each expectation is a plain statement about one column, and a failed expectation returns the rows
that caused it.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from fsat_tasks.data.readers import Rows
from fsat_tasks.data.texts import _script, fingerprint
from fsat_tasks.tasks.spec import ValidationSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Finding", "check_rows", "common_script", "count_scripts"]

Severity = Literal["critical", "warning"]

NEAR_DUPLICATE_ROWS = 20_000
"""Number of rows above which near duplicates are not searched: the search takes quadratic time."""
BALANCE = 5
"""Warn of a class that has more than this many times the samples of the smallest class."""
SCRIPT_ROWS = 1_000
"""Number of rows at the start of each file that decide which script is the common one."""
LONG_TEXT = 1_000
"""Length in characters above which most encoders cut a text."""


@dataclass(frozen=True)
class Finding:
    """A check that failed on one file."""

    check: str
    severity: Severity
    file: str
    message: str
    lines: tuple[int, ...] = ()
    """Lines of the rows that failed, ascending; empty if the check is not about single rows."""

    @property
    def where(self) -> str:
        """The file and at most ten of the lines, as text."""
        if not self.lines:
            return self.file
        more = f" and {len(self.lines) - 10} more" if len(self.lines) > 10 else ""
        return f"{self.file}, line {', '.join(map(str, self.lines[:10]))}{more}"

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return asdict(self) | {"lines": list(self.lines)}


@dataclass(frozen=True)
class _Check:
    """A Great Expectations expectation, and the message of its finding."""

    name: str
    severity: Severity
    message: str
    expectation: Any


def check_rows(files: Mapping[str, Rows], bounds: ValidationSpec, scripts: Counter[str] | None = None) -> list[Finding]:
    """Check the rows of a task's files.

    Args:
        files: split -> rows, for any of `samples`, `query`, `unlabelled` and `out_of_scope`. `query` needs
            `samples`.
        bounds: bounds of the checks.
        scripts: result of `count_scripts` for files of the task that are not in `files`.

    Returns:
        The checks that failed, critical ones first.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx

    # this logger gets a level of its own while it is imported
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    source = context.data_sources.add_pandas("rows")
    findings: list[Finding] = []
    common = common_script(count_scripts(files.values()) + (scripts or Counter()))
    for split, frame in _frames(files, bounds, common).items():
        batch = source.add_dataframe_asset(split).add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
        checks = _checks(split, bounds)
        suite = gx.ExpectationSuite(split, expectations=[check.expectation for check in checks])
        form = {"result_format": "COMPLETE", "unexpected_index_column_names": ["line"]}
        failed = {
            result.expectation_config.meta["check"]: result
            for result in batch.validate(suite, result_format=form).results
            if not result.success
        }
        for check in checks:
            if (result := failed.get(check.name)) is not None:
                lines = sorted(int(row["line"]) for row in result.result.get("unexpected_index_list") or [])
                message = check.message.format(observed=result.result.get("observed_value"))
                findings.append(Finding(check.name, check.severity, files[split].file, message, tuple(lines)))
    return sorted(findings, key=lambda finding: finding.severity)


def _checks(split: str, bounds: ValidationSpec) -> list[_Check]:
    """Return the checks of a split's table, whose columns `_frames` makes."""
    import great_expectations.expectations as gxe

    def check(name: str, severity: Severity, message: str, expectation: Any, **arguments: Any) -> _Check:
        return _Check(name, severity, message, expectation(**arguments, severity=severity, meta={"check": name}))

    labelled = split in ("samples", "query")
    checks = [
        check("text", "critical" if labelled else "warning", "no text", gxe.ExpectColumnValuesToNotBeNull, column="clean"),
        check("duplicates", "warning", "the same text again", gxe.ExpectColumnValuesToBeNull, column="duplicate_of"),
        check(
            "length",
            "warning",
            f"over {LONG_TEXT:,} characters: the encoder may cut it",
            gxe.ExpectColumnValueLengthsToBeBetween,
            column="clean",
            max_value=LONG_TEXT,
        ),
        check(
            "script", "warning", "written in another script than most rows", gxe.ExpectColumnValuesToBeNull, column="odd_script"
        ),
    ]
    if labelled:
        checks += [
            check(
                "near_duplicates",
                "warning",
                "nearly the same text as another row",
                gxe.ExpectColumnValuesToBeNull,
                column="near_duplicate_of",
            ),
            check("label", "critical", "no label", gxe.ExpectColumnValuesToNotBeNull, column="label"),
            check(
                "label_blanks",
                "critical",
                "a label with blanks around it; remove them",
                gxe.ExpectColumnValuesToMatchRegex,
                column="label",
                regex=r"\A\S(?:[\s\S]*\S)?\Z",
            ),
            check(
                "conflicts",
                "critical",
                "the same text under two labels; keep one",
                gxe.ExpectColumnValuesToBeNull,
                column="conflict",
            ),
        ]
    if split == "samples":
        checks += [
            check(
                "classes",
                "critical",
                "at least two classes are needed, found {observed}",
                gxe.ExpectColumnUniqueValueCountToBeBetween,
                column="label",
                min_value=2,
            ),
            check(
                "shots",
                "critical",
                f"a class with fewer than {bounds.min_shots} samples (validation.min_shots)",
                gxe.ExpectColumnValuesToBeBetween,
                column="shots",
                min_value=bounds.min_shots,
            ),
            check(
                "balance",
                "warning",
                f"a class with over {BALANCE} times the samples of the smallest",
                gxe.ExpectColumnValuesToBeBetween,
                column="imbalance",
                max_value=BALANCE,
            ),
            check(
                "size",
                "warning",
                f"{{observed:,}} rows, where few-shot sets have at most {bounds.many_rows:,}; is it the right file?",
                gxe.ExpectTableRowCountToBeBetween,
                max_value=bounds.many_rows,
            ),
        ]
    if split == "query":
        checks += [
            check(
                "unknown_label", "critical", "a label that no sample has", gxe.ExpectColumnValuesToBeNull, column="unknown_label"
            ),
            check(
                "leakage",
                "critical",
                "also among the samples: the figures would be too good; remove it from one",
                gxe.ExpectColumnValuesToBeNull,
                column="leaked_from",
            ),
            check(
                "near_leakage",
                "warning",
                "nearly the same as a sample",
                gxe.ExpectColumnValuesToBeNull,
                column="nearly_leaked_from",
            ),
        ]
    return checks


def _frames(files: Mapping[str, Rows], bounds: ValidationSpec, common: str | None) -> dict[str, pd.DataFrame]:
    """Return one table per split, with a column for everything that can be unusual about a row. None means nothing is."""
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
    """Return, for each row, the line of the first row with the same mark, or None if that is the row itself."""
    first: dict[str, int] = {}
    return [
        None if mark is None or first.setdefault(mark, line) == line else first[mark]
        for mark, line in zip(marks, lines, strict=True)
    ]


def _conflicts(frame: pd.DataFrame) -> list[str | None]:
    """Return, for each row, all labels of its text if there are several, else None."""
    labels: dict[str, set[str]] = {}
    for mark, label in zip(frame["print"], frame["label"], strict=True):
        if mark and label:
            labels.setdefault(mark, set()).add(label)
    return [", ".join(sorted(labels[mark])) if mark in labels and len(labels[mark]) > 1 else None for mark in frame["print"]]


def _near_lines(rows: pd.DataFrame, among: pd.DataFrame, threshold: float) -> list[int | None]:
    """Return, for each row, the line of a row in `among` with nearly the same text, or None.

    Exact repeats do not count. If `among` is the same table, only earlier rows count.

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
