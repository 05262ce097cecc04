"""Write a fine-tuned encoder as the files that an exported encoder has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fsat_tasks.encoders.artefact import copy_preparer
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.store import Artefact
from fsat_tasks.store.files import write_json

if TYPE_CHECKING:
    from fsat_tasks.tuning.fine_tuning import Weights

__all__ = ["write_tuned_encoder"]


def write_tuned_encoder(source: EncoderSource, weights: Weights, pretrained: Artefact, folder: Path) -> None:
    """Write encoder.onnx with the tuned weights, encoder.json and the preparer's files.

    Args:
        source: the pretrained encoder.
        weights: the tuned weights.
        pretrained: artefact of the exported pretrained encoder, in any precision.
        folder: folder to write to.
    """
    from fsat_tasks.encoders.graph import export_onnx
    from fsat_tasks.tuning.fine_tuning import load_torch_encoder

    export_onnx(load_torch_encoder(source, "cpu", weights), folder / "encoder.onnx", source.name)
    write_json(folder / "encoder.json", pretrained.json("encoder.json") | {"precision": "fp32"})
    copy_preparer(pretrained, folder)
