"""Data checks, as one Great Expectations suite per file.

`find_oddities` first adds columns that say what is unusual about a row, such as the line of its near duplicate.
Each expectation then tests one column or the number of rows. If single rows make it fail, it returns these rows.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fsat_tasks.data.oddities import common_script, count_scripts, find_oddities
from fsat_tasks.data.readers import Rows
from fsat_tasks.tasks.spec import ValidationSpec

__all__ = ["Finding", "check_rows"]

Severity = Literal["critical", "warning"]

BALANCE = 5
"""Maximum number of samples of a class, as a multiple of the smallest class's. Above it, the checks warn."""
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
        return f"{self.file}, {'lines' if len(self.lines) > 1 else 'line'} {', '.join(map(str, self.lines[:10]))}{more}"

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
        files: split -> rows, for any of `samples`, `query`, `unlabelled` and `out_of_scope`. If `query` is given,
            `samples` must be given too.
        bounds: bounds of the checks.
        scripts: result of `count_scripts` for files of the task that are not in `files`.

    Returns:
        The checks that failed, critical ones first.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx

    # importing Great Expectations has set a level for this logger, so fsat's level is set again
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    source = context.data_sources.add_pandas("rows")
    findings: list[Finding] = []
    common = common_script(count_scripts(files.values()) + (scripts or Counter()))
    for split, frame in find_oddities(files, bounds, common).items():
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
    """Return the checks of a split's table, whose columns `find_oddities` makes."""
    import great_expectations.expectations as gxe

    def check(name: str, severity: Severity, message: str, expectation: Any, **arguments: Any) -> _Check:
        return _Check(name, severity, message, expectation(**arguments, severity=severity, meta={"check": name}))

    labelled = split in ("samples", "query")
    checks = [
        check("text", "critical" if labelled else "warning", "no text", gxe.ExpectColumnValuesToNotBeNull, column="clean"),
        check(
            "duplicates", "warning", "the same text as in an earlier row", gxe.ExpectColumnValuesToBeNull, column="duplicate_of"
        ),
        check(
            "length",
            "warning",
            f"a text over {LONG_TEXT:,} characters, of which the model may read only the beginning",
            gxe.ExpectColumnValueLengthsToBeBetween,
            column="clean",
            max_value=LONG_TEXT,
        ),
        check(
            "script", "warning", "another writing system than in most rows", gxe.ExpectColumnValuesToBeNull, column="odd_script"
        ),
    ]
    if labelled:
        checks += [
            check(
                "near_duplicates",
                "warning",
                "nearly the same text as in an earlier row",
                gxe.ExpectColumnValuesToBeNull,
                column="near_duplicate_of",
            ),
            check("label", "critical", "no label", gxe.ExpectColumnValuesToNotBeNull, column="label"),
            check(
                "label_blanks",
                "critical",
                "blanks before or after the label (remove them)",
                gxe.ExpectColumnValuesToMatchRegex,
                column="label",
                regex=r"\A\S(?:[\s\S]*\S)?\Z",
            ),
            check(
                "conflicts",
                "critical",
                "the same text under two labels (keep one)",
                gxe.ExpectColumnValuesToBeNull,
                column="conflict",
            ),
        ]
    if split == "samples":
        checks += [
            check(
                "classes",
                "critical",
                "only {observed} class (at least two are needed)",
                gxe.ExpectColumnUniqueValueCountToBeBetween,
                column="label",
                min_value=2,
            ),
            check(
                "shots",
                "critical",
                f"a class with fewer than {bounds.min_shots} samples (label more, or lower validation.min_shots)",
                gxe.ExpectColumnValuesToBeBetween,
                column="shots",
                min_value=bounds.min_shots,
            ),
            check(
                "balance",
                "warning",
                f"a class with over {BALANCE} times as many samples as the smallest (label more of the small ones)",
                gxe.ExpectColumnValuesToBeBetween,
                column="imbalance",
                max_value=BALANCE,
            ),
            check(
                "size",
                "warning",
                f"{{observed:,}} rows, where few-shot sets have at most {bounds.many_rows:,} (is it the right file?)",
                gxe.ExpectTableRowCountToBeBetween,
                max_value=bounds.many_rows,
            ),
        ]
    if split == "query":
        checks += [
            check(
                "unknown_label",
                "critical",
                "a label that no sample has (correct it, or add samples of it)",
                gxe.ExpectColumnValuesToBeNull,
                column="unknown_label",
            ),
            check(
                "leakage",
                "critical",
                "a text that is also among the samples, which makes the figures too good (remove it from one file)",
                gxe.ExpectColumnValuesToBeNull,
                column="leaked_from",
            ),
            check(
                "near_leakage",
                "warning",
                "nearly the same text as in a sample, which makes the figures a little too good",
                gxe.ExpectColumnValuesToBeNull,
                column="nearly_leaked_from",
            ),
        ]
    return checks
