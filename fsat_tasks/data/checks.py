"""Data checks, as one Great Expectations suite per file.

`find_oddities` first adds columns that say what is unusual about a row, such as the line of its near duplicate.
Each expectation then tests one column or the number of rows. If single rows make it fail, it returns these rows.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fsat_tasks.data.class_counts import ClassCounts
from fsat_tasks.data.oddities import count_traits, find_oddities, usual_trait
from fsat_tasks.data.readers import Rows
from fsat_tasks.data.suite import Severity, make_checks
from fsat_tasks.inputs.modality import Modality
from fsat_tasks.targets.registered import ONE_LABEL
from fsat_tasks.targets.target import Target
from fsat_tasks.tasks.spec import ValidationSpec

__all__ = ["Finding", "check_rows"]


@dataclass(frozen=True)
class Finding:
    """A check that failed on one file."""

    check: str
    severity: Severity
    file: str
    message: str
    lines: tuple[int, ...] = ()
    """Lines of the rows that failed, ascending; empty if the check is about the whole file or about a class."""

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


def check_rows(
    files: Mapping[str, Rows],
    modality: Modality,
    bounds: ValidationSpec,
    traits: Counter[str] | None = None,
    target: Target = ONE_LABEL,
) -> list[Finding]:
    """Check the rows of a task's files.

    Args:
        files: split -> rows, for any of `samples`, `query`, `unlabelled` and `out_of_scope`. If `query` is given,
            `samples` must be given too.
        modality: what a row is.
        bounds: bounds of the checks.
        traits: result of `count_traits` for files of the task that are not in `files`.
        target: what a label is.

    Returns:
        The checks that failed, critical ones first.
    """
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx

    # importing Great Expectations has set a level for this logger, so fsat's level is set again
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    source = context.data_sources.add_pandas("rows")
    findings: list[Finding] = []
    usual = usual_trait(count_traits(files.values(), modality) + (traits or Counter()))
    samples = files.get("samples", Rows(""))
    classes = ClassCounts(samples.labels, samples.lines, target)
    for split, frame in find_oddities(files, modality, target, bounds, usual, classes).items():
        batch = source.add_dataframe_asset(split).add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
        checks = make_checks(split, frame, modality, target, bounds, classes)
        suite = gx.ExpectationSuite(split, expectations=[check.expectation for check in checks])
        form = {"result_format": "COMPLETE", "unexpected_index_column_names": ["line"]}
        failed = {
            result.expectation_config.meta["check"]: result
            for result in batch.validate(suite, result_format=form).results
            if not result.success
        }
        for check in checks:
            if (result := failed.get(check.name)) is not None:
                rows = () if check.by_class else result.result.get("unexpected_index_list") or ()
                message = check.message(result.result.get("observed_value"))
                lines = tuple(sorted(int(row["line"]) for row in rows))
                findings.append(Finding(check.name, check.severity, files[split].file, message, lines))
    return sorted(findings, key=lambda finding: finding.severity)
