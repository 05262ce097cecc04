"""Cells of review.csv. A spreadsheet must not take a stranger's text for a formula (CSV injection, as OWASP describes it)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["REVIEW_COLUMNS", "guard", "unguard_review"]

REVIEW_COLUMNS = ("label", "suggested", "probability", "reason")
"""Columns of review.csv besides those of the row."""
FORMULA = re.compile(r"'*(?:[\t\r\n]|[\s\u00ad\u180e\u200b-\u200f\u2060-\u2064\ufeff]*[=+\-@＝＋－＠])")
"""Beginning of a cell that a spreadsheet may take for a formula, maybe after spaces and characters of no width. It also counts
with apostrophes before it, so that an apostrophe of `guard` can be told from one of the text."""


def guard(cell: str) -> str:
    """Return the cell, with an apostrophe before it if a spreadsheet may take it for a formula."""
    return f"'{cell}" if FORMULA.match(cell) else cell


def unguard_review(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without the apostrophes of `guard`. A record that has other columns than review.csv is not changed.

    The columns decide, because a person may have saved the file in another format.
    """
    of_review = record.keys() >= set(REVIEW_COLUMNS[1:])  # a person may have named the label's column anew
    return {name: _unguard(cell) if of_review else cell for name, cell in record.items()}


def _unguard(cell: Any) -> Any:
    return cell[1:] if isinstance(cell, str) and cell.startswith("'") and FORMULA.match(cell) else cell
