"""Run an exported model from its folder. This needs ONNX Runtime and what prepares rows, but not torch or transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fsat_tasks.encoders.artefact import open_preparer
from fsat_tasks.encoders.cuts import say_cut
from fsat_tasks.encoders.kinds import encoder_kind
from fsat_tasks.encoders.prepare import padded_batches
from fsat_tasks.errors import FsatError
from fsat_tasks.inputs.modalities import find_modality
from fsat_tasks.inputs.modality import Input
from fsat_tasks.models.settings import CONFIG, altered, find_graph, read_settings
from fsat_tasks.runtime.failures import NamedErrors
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.session import open_session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Answered", "ServedModel"]

SCOPE = "scope"
"""Name of the output with the scope scores."""
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

    Raises:
        RegistryError: if the settings or the graph are none that `fsat export` wrote.
        EncoderError: if the preparer's files cannot be read.
    """

    def __init__(self, folder: Path, graph: str | None = None, device: Device = "cpu", kept: Kept | None = None) -> None:
        settings = read_settings(folder)
        self.target, self.rule, self.scope_threshold = settings.target, settings.rule, settings.scope_threshold
        self.modality = find_modality(settings.inputs)
        """Kind of rows that the model reads."""
        self._preparer = open_preparer(folder, kept, CONFIG)
        self._settings = settings.values
        path = find_graph(folder, graph or settings.served)
        if device == "cpu" and kept is not None:
            self._session = kept.get(f"session {path.name}", _File.at(path), lambda: _open(path, "cpu"))
        else:
            self._session = _open(path, device)
        _check_outputs(self._session, path, max(len(self.rule.labels), 1))
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
            outputs[rows], scope[rows] = self._session.run([self._output, SCOPE], dict(feed))
        return Answered(outputs, scope, np.array([bool(row.rest) for row in prepared], bool))

    def say_cut(self, cut: int, rows: int) -> str:
        """Say how many of the rows were longer than the encoder reads."""
        return say_cut(cut, rows, self.modality.noun, encoder_kind(self._settings).limit(self._settings))


def _open(path: Path, device: Device) -> Any:
    """Open a session of a graph. Raises RegistryError if it is none that ONNX Runtime can open."""
    try:
        with NamedErrors(f"the graph {path}"):
            return open_session(path, device)
    except FsatError:
        raise
    except Exception as error:  # ONNX Runtime's errors derive directly from it
        if device != "cpu":
            raise
        raise altered(path, "a graph that ONNX Runtime opens", str(error)) from error


def _check_outputs(session: Any, path: Path, count: int) -> None:
    """Raise RegistryError unless a graph has `count` outputs for each row, and the row's scope score."""
    outputs = session.get_outputs()
    names = [output.name for output in outputs]
    if len(names) < 2 or SCOPE not in names[1:]:
        raise altered(path, f"a graph with two outputs, the second one {SCOPE!r}", ", ".join(names) or "none")
    width = outputs[0].shape[-1] if outputs[0].shape else 0
    if isinstance(width, int) and width != count:
        raise altered(path, f"a graph with {count} numbers for each row, as {CONFIG} says", f"{width}")


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
