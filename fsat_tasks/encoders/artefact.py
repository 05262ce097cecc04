"""Files of an exported encoder that prepare its rows. Exported models have these files too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from fsat_tasks.encoders.kinds import encoder_kind
from fsat_tasks.encoders.prepare import Preparer
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.store import Artefact

__all__ = [
    "copy_preparer",
    "encoder_files",
    "open_preparer",
    "preparer_files",
    "preparer_inputs",
    "preparer_settings",
    "size_limit",
]


def open_preparer(folder: Path, kept: Kept | None = None, settings: str = "encoder.json") -> Preparer:
    """Open the preparer of an exported encoder or model.

    Args:
        folder: folder with the preparer's files.
        kept: cache of open objects.
        settings: file that has the encoder's settings.
    """
    return encoder_kind(json.loads((folder / settings).read_text("utf-8"))).open_preparer(folder, kept)


def preparer_files(artefact: Artefact, settings: str = "encoder.json") -> tuple[str, ...]:
    """Return the names of the files that the preparer of an encoder or model is opened from, besides its settings."""
    return encoder_kind(artefact.json(settings)).preparer_files


def encoder_files(artefact: Artefact) -> list[str]:
    """Return the names of an artefact's files that make up an exported encoder; none, if it has no encoder."""
    has_encoder = "encoder.json" in artefact.manifest["files"]
    return ["encoder.onnx", "encoder.json", *preparer_files(artefact)] if has_encoder else []


def copy_preparer(encoder: Artefact, folder: Path) -> None:
    """Copy the preparer's files, except encoder.json, to a folder."""
    for name in preparer_files(encoder):
        shutil.copyfile(encoder.path / name, folder / name)


def preparer_settings(encoder: Artefact) -> dict[str, Any]:
    """Return the settings that users of an exported model need: the modality of its rows and their maximum size."""
    return {name: value for name, value in encoder.json("encoder.json").items() if name in ("inputs", "max_tokens")}


def preparer_inputs(encoder: Artefact) -> dict[str, str]:
    """Return the sha256 of the graph and of each of the preparer's files, for the recipes of what the encoder computes."""
    return {"encoder": encoder.sha256("encoder.onnx")} | {
        Path(name).stem: encoder.sha256(name) for name in preparer_files(encoder)
    }


def size_limit(encoder: Artefact) -> str:
    """Return the size above which a row is cut, in words."""
    settings = encoder.json("encoder.json")
    return encoder_kind(settings).limit(settings)
