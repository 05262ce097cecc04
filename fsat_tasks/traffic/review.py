"""Write the review file: the rows that a model abstained on, and a few that it answered although they are unlike the samples.

Rows whose labels teach the model most come first. A person fills in the labels, and `fsat add` adds the rows to the samples.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fsat_tasks.data.review_cells import REVIEW_COLUMNS, guard
from fsat_tasks.errors import StoreError
from fsat_tasks.inputs.modality import Input, Modality
from fsat_tasks.store import Artefact
from fsat_tasks.store.copies import AddFiles, check_out_folder, copy_out, listed_files, no_files
from fsat_tasks.store.files import sha256_file

__all__ = ["REVIEW", "Doubt", "Review", "check_results", "copy_result"]

REVIEW = "review.csv"
MOST = 1000
"""Maximum number of rows in the review file. A person is unlikely to label more, and the limit keeps memory bounded."""


MOST_UNLIKE = 50
"""Maximum number of answered rows in the review file."""
UNLIKE_SHARE = 0.05
"""Maximum number of answered rows in the review file, as a share of all answered rows. A confident answer to a text of a new kind
is among those with the lowest scope scores, and a person can look at one row in twenty, or one at least."""
UNLIKE = "answered, but unlike the samples"


class Doubt(NamedTuple):
    """A row for a person to look at. The lowest ranks come first."""

    rank: float
    """For a row without an answer, the probability of the likeliest class minus that of the second likeliest, as in margin
    sampling (Scheffer et al. 2001). For an answered row, its scope score."""
    row: Input
    suggested: str
    probability: float | None
    """Probability of the answer; None for a number."""
    reason: str


class Lowest:
    """Collection of at most `most` doubts: those with the lowest ranks, each row once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._doubts: dict[Input, Doubt] = {}

    def add(self, doubts: Iterable[Doubt]) -> None:
        for doubt in doubts:
            self._doubts.setdefault(doubt.row, doubt)
            if len(self._doubts) >= 2 * self.most:
                self._doubts = {one.row: one for one in self.rows()}

    def rows(self) -> list[Doubt]:
        return sorted(self._doubts.values())[: self.most]


class Review:
    """Rows for a person to look at: those without an answer, and then the answered ones that are least like the samples."""

    def __init__(self, modality: Modality) -> None:
        self.modality = modality
        self.doubts, self.unlike = Lowest(MOST), Lowest(MOST_UNLIKE)
        self.answered = 0
        """Number of answered rows."""

    def add_unlike(self, doubts: Iterable[Doubt]) -> None:
        """Add answered rows."""
        some = list(doubts)
        self.answered += len(some)
        self.unlike.add(some)

    def rows(self) -> list[Doubt]:
        """Return the rows of the review file, in their order."""
        few = math.ceil(UNLIKE_SHARE * self.answered)
        return [*self.doubts.rows(), *self.unlike.rows()[:few]][:MOST]

    def write(self, path: Path) -> int:
        """Write the table and return its number of rows. Its column `label` is empty, for a person to fill in.

        Every cell is in quotes, so that a spreadsheet with another separator does not split it. `guard` says why some cells begin
        with an apostrophe.
        """
        rows = self.rows()
        with path.open("w", encoding="utf-8-sig", newline="") as file:  # Excel needs the byte-order mark to recognise UTF-8
            table = csv.writer(file, quoting=csv.QUOTE_ALL)
            table.writerow([*self.modality.columns("text"), *REVIEW_COLUMNS])
            for doubt in rows:
                cells = self.modality.cells(doubt.row)
                probability = "" if doubt.probability is None else f"{doubt.probability:.4f}"
                table.writerow(map(guard, [*cells, "", doubt.suggested, probability, doubt.reason]))
        path.chmod(0o444)  # read-only, because a person must edit a copy: the store rejects an artefact with altered files
        return len(rows)


def copy_result(result: Artefact, folder: Path, more: AddFiles = no_files) -> None:
    """Copy a result's files to a folder, and `more` files; see `copy_out`. Raises StoreError as `check_results` does."""
    check_results(folder)
    copy_out(result, folder, more)


def check_results(folder: Path) -> None:
    """Check that a result can be copied to a folder.

    Raises:
        StoreError: if the folder has a review file that a person has changed; or as `check_folder`.
    """
    review, listed = folder / REVIEW, listed_files(folder) or {}
    if review.is_file() and REVIEW in listed and sha256_file(review) != listed[REVIEW]:
        raise StoreError(
            f"--out {folder}",
            f"a {REVIEW} as it was written",
            "one that was changed after it was copied",
            "Feed it back with fsat add and move it away, or name another folder.",
        )
    check_out_folder(folder)
