"""Label files of new texts with a task's champion.

A file may be of any size. It is read row by row and labelled in shards of 2,048 rows. The store's scratch folder keeps each
finished shard. After a call is killed, the next call continues with the first shard that is missing. The result is the same to
the bit as if no call had been killed.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.data.readers import file_digest, iter_inputs
from fsat_tasks.errors import DataError, reason
from fsat_tasks.inputs.formats import file_format
from fsat_tasks.inputs.modality import Input
from fsat_tasks.models.served import ServedModel
from fsat_tasks.runtime.logs import at_work
from fsat_tasks.runtime.numeric_class import NumericClass
from fsat_tasks.runtime.progress import show_progress
from fsat_tasks.store import Artefact, Recipe, Store, versions
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.task import Task
from fsat_tasks.traffic.review import REVIEW, UNLIKE, Doubt, Review

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PREDICTIONS", "Labeller", "label_rows", "totals"]

log = logging.getLogger(__name__)

PREDICTIONS = "predictions.parquet"
SHARD = 2048
"""Default number of rows in a shard. It is part of the artefact's key, because the last bit of a probability may depend on it."""
FIGURES = ("rows", "answered", "out_of_scope", "unsure", "blank")
"""Names of the counts. Each row is answered, out of scope, unsure or blank."""
TRUNCATED = "truncated"
"""Column that is true for a row that is longer than the encoder reads, and name of the number of these rows."""

Row = tuple[int, Input | None]
"""Line number and row; None for a blank row."""


class Labeller:
    """A task's champion, opened once for any number of files.

    The model abstains on a text that is out of scope, and on a text whose likeliest label has a probability below
    `apply.min_probability`. With calibrated probabilities, this threshold is optimal if a wrong label costs
    1 / (1 - min_probability) times as much as a review by a person (Chow 1970).

    Args:
        model: the champion's artefact, as `registry.champion_files.champion_model` returns it.
        open_model: called with the model's folder when the first text is labelled. Returns the opened model.
        shard_rows: number of rows that are in memory and labelled at a time.
    """

    def __init__(
        self,
        task: Task,
        store: Store,
        model: Artefact,
        open_model: Callable[[Path], ServedModel] = ServedModel,
        shard_rows: int = SHARD,
    ) -> None:
        self.task, self.store, self.model = task, store, model
        self._open_model, self._shard_rows = open_model, shard_rows

    @cached_property
    def _served(self) -> ServedModel:
        model = self._open_model(self.model.path)
        if model.rule.without_limit:
            log.warning("%s: %s", self.task.name, model.rule.without_limit)
        return model

    def find(self, file: Path) -> Artefact | None:
        """Return the result of labelling the file's contents with this model, or None if the store does not have it."""
        recipe = self._recipe(file)
        return self.store.find(recipe.step, recipe.key)

    def label(self, file: Path) -> Artefact:
        """Label every row of a file, unless the result is already in the store.

        Writes three files:

        - predictions.parquet: one row for each row of the file, in the file's order, with line, text, label, probability,
          margin to the second likeliest label, in_scope, abstained, scope, labels and truncated. `labels` is a set of labels,
          the likeliest first. The set contains the true label with a probability of 90 %. `scope` is higher for texts that are
          more like the samples. A row without a text has no label.
        - review.csv: at most 1000 distinct texts for a person; see `Review`.
        - summary.json: the number of rows that were answered, that were out of scope, that the model was unsure of, that had no
          text, and that were longer than the encoder reads; and the number of answered rows with each label.

        A file without rows gives the same files, without rows and with counts of 0.

        Raises:
            DataError: if the file cannot be read, or if it changes during the call. An unreadable row is found before any row is
                labelled.
        """
        state = _state(file)
        found = self.find(file)
        if found is not None:
            return found
        recipe = self._recipe(file)
        rows = sum(1 for _ in self._rows(file))  # reads the whole file, so that a bad last row is found now and not after hours
        with at_work(self.task.name, "apply"), self.store.in_use(), self.store.scratch(recipe) as shards:

            def write(folder: Path) -> dict[str, Any]:
                figures = self._write(file, rows, shards, folder)
                if _state(file) != state:
                    shutil.rmtree(shards)
                    raise DataError(
                        str(file),
                        "a file that stays as it is",
                        "one that changed during labelling",
                        "Move it into its place once it is complete.",
                    )
                return {"file": file.name, **figures}

            return self.store.build(recipe, write)

    def _recipe(self, file: Path) -> Recipe:
        spec = self.task.spec
        return Recipe(
            "apply",
            versions.APPLY,
            config={
                "format": file_format(file),
                "text": spec.text,
                **self.task.inputs_config(),
                "min_probability": spec.apply.min_probability,
                "shard": self._shard_rows,
            },
            inputs={"file": file_digest(file, self.store.sha256), "model": self.model.digest},
            numeric_class=NumericClass("onnxruntime", "cpu"),
            parents={"model": self.model},
        )

    def _rows(self, file: Path) -> Iterator[Row]:
        return iter_inputs(file, self.task.row_format())

    def _write(self, file: Path, count: int, shards: Path, folder: Path) -> dict[str, int]:
        """Label shard by shard. A shard that a killed call left in the folder `shards` is not labelled again."""
        import pyarrow.parquet as pq

        figures, labels = Counter(dict.fromkeys((*FIGURES, TRUNCATED), 0)), Counter[str]()
        review, done = Review(self.task.modality), 0
        rows = self._rows(file)
        shards.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened, show_progress(f"apply {file.name}", count) as report:
            writer: pq.ParquetWriter | None = None
            for number in itertools.count():
                some = list(itertools.islice(rows, self._shard_rows))
                if not some and number:  # a file without rows has one shard, which is empty
                    break
                shard = shards / f"{number:08d}.parquet"
                if not shard.is_file():
                    _write_shard(label_rows(self._served, some, self.task.spec.apply.min_probability), shard)
                table = pq.read_table(shard)
                writer = writer or opened.enter_context(pq.ParquetWriter(folder / PREDICTIONS, table.schema))
                writer.write_table(table)
                _count(table, figures, labels, review)
                done += len(some)
                report(done)
        figures["rows"] = done
        if figures[TRUNCATED]:
            log.warning("%s: %s", file.name, self._served.say_cut(figures[TRUNCATED], done))
        shown = {**figures, "to_review": review.write(folder / REVIEW)}
        write_json(folder / "summary.json", {**shown, "labels": dict(labels)})
        return shown


def totals(results: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Add up the counts of several labelled files. Also returns the shares of rows without an answer and of rows out of scope."""
    results = list(results)
    counts = {name: sum(result[name] for result in results) for name in (*FIGURES, TRUNCATED)}
    return {
        "files": len(results),
        **counts,
        "abstained_share": _share(counts["rows"] - counts["answered"], counts["rows"]),
        "out_of_scope_share": _share(counts["out_of_scope"], counts["rows"]),
    }


def _share(part: int, rows: int) -> float:
    """Return the share of the rows, to four decimals; 0 if there are no rows."""
    return round(part / max(rows, 1), 4)


def _state(file: Path) -> tuple[int, ...]:
    """Return a file's inode, size and time of the last change. If one of them has changed, somebody has written to the file."""
    try:
        found = file.stat()
    except OSError as error:
        raise DataError(str(file), "a file that can be read", reason(error)) from None
    return found.st_ino, found.st_size, found.st_mtime_ns


def label_rows(model: ServedModel, rows: Sequence[Row], least: float) -> pa.Table:
    """Return the predictions for some rows. The model runs once for each distinct row.

    Args:
        least: minimum probability of an answer. Below it the model abstains. Numbers have no probability.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    place: dict[str, int] = {}
    at = [None if row is None else place.setdefault(row, len(place)) for _, row in rows]
    answered = model.answer(list(place))  # for n distinct rows
    answers = model.target.columns(answered.outputs, model.rule)
    in_scope = pa.array(answered.scope >= model.scope_threshold)
    abstained = pc.or_(pc.invert(in_scope), pc.equal(answers["label"], ""))
    if "probability" in answers.column_names:
        abstained = pc.or_(abstained, pc.less(answers["probability"], pa.scalar(least, pa.float32())))
    behind = answers.column_names.index("margin") + 1
    answers = answers.add_column(behind, "in_scope", in_scope).add_column(behind + 1, "abstained", abstained)
    answers = answers.add_column(behind + 2, "scope", pa.array(answered.scope, pa.float32()))
    answers = answers.append_column(TRUNCATED, pa.array(answered.cut))
    answers = answers.take(pa.array(at, pa.int64()))
    columns = {"line": pa.array([line for line, _ in rows], pa.int64()), "text": pa.array([row for _, row in rows], pa.string())}
    columns |= {name: answers[name] for name in answers.column_names}
    for name, blank in (("in_scope", False), ("abstained", True), (TRUNCATED, False)):
        columns[name] = columns[name].fill_null(blank)
    return pa.table(columns)


def _write_shard(table: pa.Table, path: Path) -> None:
    """Write a shard atomically, so that a file with its final name is complete even if a process was killed."""
    import pyarrow.parquet as pq

    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        pq.write_table(table, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _count(table: pa.Table, figures: Counter[str], labels: Counter[str], review: Review) -> None:
    """Add a shard's rows to the counts, and to `review`."""
    import pyarrow.compute as pc

    answered = table.filter(pc.invert(table["abstained"]))
    labels.update(answered["label"].to_pylist())
    needed = [name for name in ("scope", "text", "label", "probability") if name in answered.column_names]
    review.add_unlike(
        Doubt(row["scope"], row["text"], row["label"], row.get("probability"), UNLIKE)
        for row in answered.select(needed).to_pylist()
    )
    figures["answered"] += len(answered)
    figures[TRUNCATED] += pc.sum(table[TRUNCATED]).as_py() or 0  # None, if there are no rows
    doubts = []
    for row in table.filter(table["abstained"]).to_pylist():
        if row["label"] is None:
            figures["blank"] += 1
            continue
        reason = "unsure" if row["in_scope"] else "out of scope"
        figures[reason.replace(" ", "_")] += 1
        doubts.append(Doubt(row["margin"], row["text"], row["label"], row.get("probability"), reason))
    review.doubts.add(doubts)
