"""Run an exported model: its folder alone, ONNX Runtime and the tokenizer; no torch, no transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsat_tasks.encoder import load_tokenizer, open_session, token_batches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ServedModel"]


class ServedModel:
    """A model folder: model.onnx, tokenizer.json, config.json."""

    def __init__(self, folder: Path) -> None:
        self.labels: list[str] = json.loads((folder / "config.json").read_text("utf-8"))["labels"]
        self._tokenizer, self._pad_id = load_tokenizer(folder / "tokenizer.json")
        self._session = open_session(folder / "model.onnx", "cpu")

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, classes), in the order of `labels`."""
        import numpy as np

        probabilities = np.empty((len(texts), len(self.labels)), np.float32)
        for rows, ids, mask in token_batches(self._tokenizer, self._pad_id, texts):
            probabilities[rows] = self._session.run(["probabilities"], {"input_ids": ids, "attention_mask": mask})[0]
        return probabilities
