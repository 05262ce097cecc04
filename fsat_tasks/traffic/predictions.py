"""Predict with a task's champion. Only the published ONNX model is used, and its checksums are verified."""

from __future__ import annotations

import io
import itertools
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fsat_tasks.data.formats.lines import LONGEST_LINE, stream_lines
from fsat_tasks.data.readers import read_inputs
from fsat_tasks.inputs.modalities import RowFormat
from fsat_tasks.inputs.modality import Input
from fsat_tasks.models.served import ServedModel
from fsat_tasks.registry.champion_files import champion_model
from fsat_tasks.store import Store

__all__ = ["predict", "predict_file", "predict_stream"]

log = logging.getLogger(__name__)

BATCH = 64


def predict(task: str, texts: Iterable[str], store: Store | None = None) -> Iterator[dict[str, Any]]:
    """Yield one answer for each row, in order: the row, its label, the label's calibrated probability, and `in_scope`.

    With several labels, `label` is a list, and `probability` has a probability for each. A number has an interval, `low` to
    `high`, instead of a probability.

    Rows are read 64 at a time, so memory stays bounded even if the input never ends.

    Args:
        texts: rows, each written in one line.
        store: the store; by default the one that FSAT_STORE names.

    Raises:
        RegistryError: if the task has no champion, or if the champion's files are not the ones that were published.
        DataError: if a row is not valid.
    """
    model = ServedModel(champion_model(task, store).path)
    read = model.modality.read_line
    return _answers(model, _batches(read(text, f"row {number}") for number, text in enumerate(texts, start=1)))


def predict_stream(
    task: str, stream: io.BufferedReader | io.BytesIO, name: str, store: Store | None = None
) -> Iterator[dict[str, Any]]:
    """Yield one answer for each line of a stream; see `predict`.

    A line is answered as soon as it comes. Lines that come faster than they are answered are answered 64 at a time.

    Args:
        stream: UTF-8 bytes.
        name: name of the stream, for errors.
    """
    model = ServedModel(champion_model(task, store).path)
    read, number = model.modality.read_line, itertools.count(1)
    inputs = ((read(line, f"{name}, line {next(number)}") for line in lines) for lines in stream_lines(stream, name))
    return _answers(model, itertools.chain.from_iterable(map(_batches, inputs)))


def predict_file(task: str, file: Path, column: str = "text", store: Store | None = None) -> tuple[int, Iterator[dict[str, Any]]]:
    """Return the number of rows of a table, or of lines of any other file, and one answer for each; see `predict`.

    The file is never in memory as a whole. It is read to its end first, so that a bad row is found before any row is answered.

    Args:
        column: name of the text column, if rows are texts.
    """
    model = ServedModel(champion_model(task, store).path)
    form = RowFormat(model.modality, column, LONGEST_LINE)
    return sum(1 for _ in read_inputs(file, form)), _answers(model, _batches(read_inputs(file, form)))


def _batches(inputs: Iterator[Input]) -> Iterator[list[Input]]:
    while batch := list(itertools.islice(inputs, BATCH)):
        yield batch


def _answers(model: ServedModel, batches: Iterable[list[Input]]) -> Iterator[dict[str, Any]]:
    """Yield the answers. If rows were longer than the encoder reads, a warning says so at the end."""
    rows = cut = 0
    for batch in batches:
        answered = model.answer(batch)
        rows, cut = rows + len(batch), cut + int(answered.cut.sum())
        for row, answer, scope in zip(batch, model.target.show(answered.outputs, model.rule), answered.scope, strict=True):
            yield {"text": row, **answer, "in_scope": bool(scope >= model.scope_threshold)}
    if cut:
        log.warning("%s", model.say_cut(cut, rows))
