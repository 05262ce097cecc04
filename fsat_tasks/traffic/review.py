"""Write the review file: the texts that a model abstained on. Texts whose labels teach the model most come first.

A person fills in the labels, and `fsat add` adds the rows to the task's samples.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fsat_tasks.errors import StoreError
from fsat_tasks.store import Artefact, Store
from fsat_tasks.store.copies import copy_out
from fsat_tasks.store.files import sha256_file

__all__ = ["REVIEW", "Doubt", "Review", "copy_result"]

REVIEW = "review.csv"
MOST = 1000
"""Maximum number of texts in the review file. A person is unlikely to label more, and the limit keeps memory bounded."""
COLUMNS = ("text", "label", "suggested", "probability", "reason")


class Doubt(NamedTuple):
    """A text that the model abstained on. Doubts sort by margin, smallest first, as in margin sampling (Scheffer et al. 2001)."""

    margin: float
    """Probability of the likeliest class minus the probability of the second likeliest."""
    text: str
    suggested: str
    probability: float
    reason: str


class Review:
    """Collection of at most `most` doubts: those with the smallest margins, each text once."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._doubts: dict[str, Doubt] = {}

    def add(self, doubts: Iterable[Doubt]) -> None:
        for doubt in doubts:
            self._doubts.setdefault(doubt.text, doubt)
            if len(self._doubts) >= 2 * self.most:
                self._doubts = {one.text: one for one in self.rows()}

    def rows(self) -> list[Doubt]:
        return sorted(self._doubts.values())[: self.most]

    def write(self, path: Path) -> int:
        """Write the table and return its number of rows. Its column `label` is empty, for a person to fill in."""
        rows = self.rows()
        with path.open("w", encoding="utf-8-sig", newline="") as file:  # Excel needs the byte-order mark to recognise UTF-8
            table = csv.writer(file)
            table.writerow(COLUMNS)
            table.writerows((row.text, "", row.suggested, f"{row.probability:.4f}", row.reason) for row in rows)
        path.chmod(0o444)  # read-only, because a person must edit a copy: the store rejects an artefact with altered files
        return len(rows)


def copy_result(store: Store, result: Artefact, folder: Path) -> None:
    """Copy a result's files to a folder. Raises StoreError if the folder has a review file that a person has changed."""
    review = folder / REVIEW
    if review.is_file() and sha256_file(review) not in (result.sha256(REVIEW), _former_sha256(store, folder)):
        raise StoreError(
            f"--out {folder}",
            f"a {REVIEW} as it was written",
            "one that was changed after it was copied",
            "Feed it back with fsat add and move it away, or name another folder.",
        )
    copy_out(result, folder)


def _former_sha256(store: Store, folder: Path) -> str | None:
    """Return the sha256 that the folder's review file had when it was copied there.

    Returns None if no artefact.json in the folder names the copied result, or if the store no longer has that result.
    """
    try:
        former = json.loads((folder / "artefact.json").read_text("utf-8"))
        found = store.find(former["step"], former["key"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found.sha256(REVIEW) if found is not None and REVIEW in found.manifest["files"] else None
