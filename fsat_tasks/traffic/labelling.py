"""Label files of new texts with a task's champion.

A file may be of any size. It is read row by row and labelled in shards of 2,048 rows. The store's scratch folder keeps each
finished shard. After a call is killed, the next call continues with the first shard that is missing. The result is the same to
the bit as if no call had been killed.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.data.readers import iter_rows
from fsat_tasks.errors import DataError
from fsat_tasks.models.served import ServedModel
from fsat_tasks.runtime.logs import at_work
from fsat_tasks.runtime.numeric_class import NumericClass
from fsat_tasks.runtime.progress import show_progress
from fsat_tasks.store import Artefact, Recipe, Store, versions
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.task import Task
from fsat_tasks.traffic.review import REVIEW, Doubt, Review

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PREDICTIONS", "Labeller", "label_texts", "totals"]

PREDICTIONS = "predictions.parquet"
SHARD = 2048
"""Default number of rows in a shard. It is part of the artefact's key, because the last bit of a probability may depend on it."""
SET_COVERAGE = "0.9"
"""Coverage of the prediction sets: the share of texts whose set has the true label. config.json has the threshold."""
FIGURES = ("rows", "answered", "out_of_scope", "unsure", "blank")
"""Names of the counts. Each row is answered, out of scope, unsure or blank; a blank row has no text."""

Row = tuple[int, str | None]
"""Line number and text."""


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
        return self._open_model(self.model.path)

    def find(self, file: Path) -> Artefact | None:
        """Return the result of labelling the file's contents with this model, or None if the store does not have it."""
        recipe = self._recipe(file)
        return self.store.find(recipe.step, recipe.key)

    def label(self, file: Path) -> Artefact:
        """Label every row of a .csv, .jsonl, .parquet or .txt file, unless the result is already in the store.

        Writes three files:

        - predictions.parquet: one row for each row of the file, in the file's order, with line, text, label, probability,
          margin to the second likeliest label, in_scope, abstained and labels. `labels` is a set of labels, the likeliest first.
          The set contains the true label with a probability of 90 %. A row without a text has no label.
        - review.csv: at most 1000 distinct texts that the model abstained on. They are the texts with the smallest margins, and
          the smallest margin comes first.
        - summary.json: the number of rows that were answered, that were out of scope, that the model was unsure of, and that
          had no text; and the number of answered rows with each label.

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
        try:
            sha256 = self.store.sha256(file)
        except OSError as error:
            raise DataError(str(file), "a file that can be read", error.strerror or str(error)) from None
        return Recipe(
            "apply",
            versions.APPLY,
            config={
                "format": file.suffix,
                "text": spec.text,
                "min_probability": spec.apply.min_probability,
                "shard": self._shard_rows,
            },
            inputs={"file": sha256, "model": self.model.digest},
            numeric_class=NumericClass("onnxruntime", "cpu"),
            parents={"model": self.model},
        )

    def _rows(self, file: Path) -> Iterator[Row]:
        for line, (text,) in iter_rows(file, [self.task.spec.text], self.task.spec.validation.max_characters):
            yield line, text

    def _write(self, file: Path, count: int, shards: Path, folder: Path) -> dict[str, int]:
        """Label shard by shard. A shard that a killed call left in the folder `shards` is not labelled again."""
        import pyarrow.parquet as pq

        figures, labels, review, done = Counter(dict.fromkeys(FIGURES, 0)), Counter[str](), Review(), 0
        rows = self._rows(file)
        shards.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(folder / PREDICTIONS, _schema()) as writer, show_progress(f"apply {file.name}", count) as report:
            for number in itertools.count():
                some = list(itertools.islice(rows, self._shard_rows))
                if not some:
                    break
                shard = shards / f"{number:08d}.parquet"
                if not shard.is_file():
                    _write_shard(label_texts(self._served, some, self.task.spec.apply.min_probability), shard)
                table = pq.read_table(shard)
                writer.write_table(table)
                _count(table, figures, labels, review)
                done += len(some)
                report(done)
        figures["rows"] = done
        shown = {**figures, "to_review": review.write(folder / REVIEW)}
        write_json(folder / "summary.json", {**shown, "labels": dict(labels)})
        return shown


def totals(results: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Add up the counts of several labelled files. Also returns the shares of rows without an answer and of rows out of scope."""
    results = list(results)
    counts = {name: sum(result[name] for result in results) for name in FIGURES}
    rows = max(counts["rows"], 1)
    return {
        "files": len(results),
        **counts,
        "abstained_share": round(1 - counts["answered"] / rows, 4),
        "out_of_scope_share": round(counts["out_of_scope"] / rows, 4),
    }


def _state(file: Path) -> tuple[int, ...]:
    """Return a file's inode, size and time of the last change. If one of them has changed, somebody has written to the file."""
    try:
        found = file.stat()
    except OSError as error:
        raise DataError(str(file), "a file that can be read", error.strerror or str(error)) from None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        {
            "line": pa.int64(),
            "text": pa.string(),
            "label": pa.string(),
            "probability": pa.float32(),
            "margin": pa.float32(),
            "in_scope": pa.bool_(),
            "abstained": pa.bool_(),
            "labels": pa.list_(pa.string()),
        }
    )


def label_texts(model: ServedModel, rows: Sequence[Row], least: float) -> pa.Table:
    """Return the predictions for some rows. The model runs once for each distinct text.

    Args:
        least: minimum probability of the likeliest label. Below it the model abstains.
    """
    import numpy as np
    import pyarrow as pa

    from fsat_tasks.numerics.evidence.conformal import lac_scores, prediction_sets

    place: dict[str, int] = {}
    at = [place.setdefault(text, len(place)) if text and text.strip() else None for _, text in rows]
    p, scope = model.run(list(place))  # (n, classes), (n,) for n distinct texts
    names, order = pa.array(model.labels, pa.string()), np.argsort(-p, axis=1, kind="stable")
    first, second = (np.take_along_axis(p, order[:, [rank]], axis=1)[:, 0] for rank in (0, 1))
    in_scope = scope >= model.scope_threshold
    sets = prediction_sets(lac_scores(p.astype(np.float64)), model.set_thresholds[SET_COVERAGE])
    sets = np.take_along_axis(sets, order, axis=1)  # likeliest first
    ends = np.cumsum(np.append(0, sets.sum(axis=1)))
    distinct = pa.table(
        {
            "label": names.take(pa.array(order[:, 0])),
            "probability": first,
            "margin": first - second,
            "in_scope": in_scope,
            "abstained": ~in_scope | (first < least),
            "labels": pa.ListArray.from_arrays(pa.array(ends, pa.int32()), names.take(pa.array(order[sets]))),
        }
    ).take(pa.array(at, pa.int64()))
    lines, texts = zip(*rows, strict=True)
    columns = {name: distinct[name] for name in distinct.column_names}
    columns |= {"line": pa.array(lines), "text": pa.array(texts, pa.string())}
    for name, blank in (("in_scope", False), ("abstained", True)):
        columns[name] = columns[name].fill_null(blank)
    return pa.table(columns, schema=_schema())


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
    """Add a shard's rows to the counts, and the texts that the model abstained on to `review`."""
    import pyarrow.compute as pc

    answered = table.filter(pc.invert(table["abstained"]))
    labels.update(answered["label"].to_pylist())
    figures["answered"] += len(answered)
    doubts = []
    for row in table.filter(table["abstained"]).to_pylist():
        if row["label"] is None:
            figures["blank"] += 1
            continue
        reason = "unsure" if row["in_scope"] else "out of scope"
        figures[reason.replace(" ", "_")] += 1
        doubts.append(Doubt(row["margin"], row["text"], row["label"], row["probability"], reason))
    review.add(doubts)
