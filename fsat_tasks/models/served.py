"""Run an exported model from its folder. This needs ONNX Runtime and what prepares rows, but not torch or transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fsat_tasks.encoders.artefact import open_preparer
from fsat_tasks.encoders.cuts import say_cut
from fsat_tasks.encoders.kinds import encoder_kind
from fsat_tasks.encoders.prepare import padded_batches
from fsat_tasks.inputs.modalities import find_modality
from fsat_tasks.inputs.modality import Input
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.session import open_session
from fsat_tasks.targets.registered import target_from_settings
from fsat_tasks.targets.target import Rule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Answered", "ServedModel"]

BATCH_SIZE = 1024
"""Maximum size of a batch, padding included. A larger batch would not stay in the processor's cache."""


class Answered(NamedTuple):
    """Outputs of a model for rows."""

    outputs: NDArray[np.float32]
    """Outputs, such as probabilities (n, classes) in the order of `rule.labels`."""
    scope: NDArray[np.float32]  # (n,)
    cut: NDArray[np.bool_]
    """Mask (n,) of the rows that are longer than the encoder reads."""


class ServedModel:
    """An exported model: a folder with an ONNX graph, the preparer's files and config.json.

    Args:
        folder: the model's folder.
        graph: file name of one of the folder's graphs; by default the one that config.json names as `served`.
        device: `cpu` or `cuda`.
        kept: cache. It keeps one preparer, and the last CPU session of each graph's file name.
    """

    def __init__(self, folder: Path, graph: str | None = None, device: Device = "cpu", kept: Kept | None = None) -> None:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        self.target = target_from_settings(config.get("target", {}))
        self.rule = Rule.from_json(config)
        self.scope_threshold = float(config["scope_threshold"])
        """Minimum scope score of a row that counts as in scope."""
        self.modality = find_modality(config.get("inputs", "text"))
        """Kind of rows that the model reads."""
        self._preparer = open_preparer(folder, kept, "config.json")
        self._settings = config
        path = folder / (graph or config["served"])
        if device == "cpu" and kept is not None:
            self._session = kept.get(f"session {path.name}", _File.at(path), lambda: open_session(path, "cpu"))
        else:
            self._session = open_session(path, device)
        self._output: str = self._session.get_outputs()[0].name

    def run(self, inputs: Sequence[Input]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return outputs, such as probabilities (n, classes) in the order of `rule.labels`, and scope scores (n,)."""
        answered = self.answer(inputs)
        return answered.outputs, answered.scope

    def answer(self, inputs: Sequence[Input]) -> Answered:
        """Return what the model states about rows, and which of them it has not read to their end."""
        import numpy as np

        prepared = self._preparer.prepare(inputs)
        outputs = np.empty((len(inputs), max(len(self.rule.labels), 1)), np.float32)
        scope = np.empty(len(inputs), np.float32)
        for rows, feed, _ in padded_batches(prepared, BATCH_SIZE):
            outputs[rows], scope[rows] = self._session.run([self._output, "scope"], dict(feed))
        return Answered(outputs, scope, np.array([bool(row.rest) for row in prepared], bool))

    def say_cut(self, cut: int, rows: int) -> str:
        """Say how many of the rows were longer than the encoder reads."""
        return say_cut(cut, rows, self.modality.noun, encoder_kind(self._settings).limit(self._settings))


@dataclass(frozen=True)
class _File:
    """Identity of a graph's file, independent of its path, because the store renames the folder once the artefact is complete."""

    volume: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def at(cls, path: Path) -> _File:
        status = path.stat()
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
