"""Run an exported model from its folder. This needs ONNX Runtime and tokenizers, but not torch or transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsat_tasks.encoders.batches import load_tokenizer, padded_batches, tokenize
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.session import open_session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ServedModel"]

TOKENS = 1024
"""Maximum number of tokens in a batch, padding included. A larger batch would not stay in the processor's cache."""


class ServedModel:
    """An exported model: a folder with an ONNX graph, tokenizer.json and config.json.

    Args:
        folder: the model's folder.
        graph: file name of one of the folder's graphs; by default the one that config.json names as `served`.
        device: `cpu` or `cuda`.
        kept: cache. It keeps one tokenizer, and the last CPU session of each graph's file name.
    """

    def __init__(self, folder: Path, graph: str | None = None, device: Device = "cpu", kept: Kept | None = None) -> None:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        self.labels: list[str] = config["labels"]
        self.scope_threshold = float(config["scope_threshold"])
        """Minimum scope score of a text that counts as in scope."""
        self.set_thresholds = {coverage: float(value) for coverage, value in config["set_thresholds"].items()}
        """Coverage -> threshold for sets of labels. A label is in the set if `1 - probability` is at most the threshold."""
        self._tokenizer, self._pad_id = load_tokenizer(folder / "tokenizer.json", kept)
        path = folder / (graph or config["served"])
        if device == "cpu" and kept is not None:
            self._session = kept.get(f"session {path.name}", _File.at(path), lambda: open_session(path, "cpu"))
        else:
            self._session = open_session(path, device)

    def run(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return probabilities (n, classes) in the order of `labels`, and scope scores (n,)."""
        import numpy as np

        probabilities = np.empty((len(texts), len(self.labels)), np.float32)
        scope = np.empty(len(texts), np.float32)
        for rows, ids, mask in padded_batches(tokenize(self._tokenizer, texts), self._pad_id, TOKENS):
            feed = {"input_ids": ids, "attention_mask": mask}
            probabilities[rows], scope[rows] = self._session.run(["probabilities", "scope"], feed)
        return probabilities, scope


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
