"""Kinds of encoders, one for each modality, and the search for an encoder of a kind."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fsat_tasks.encoders.prepare import Preparer
from fsat_tasks.encoders.source import EncoderSource, locate_encoder
from fsat_tasks.encoders.text_encoders import TextEncoders
from fsat_tasks.errors import EncoderError, reason
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.store.files import canonical_json, sha256_file

if TYPE_CHECKING:
    from fsat_tasks.encoders.graph import TorchEncoder

__all__ = ["KINDS", "EncoderKind", "encoder_kind", "find_encoder"]

HASHED = {".json", ".model", ".safetensors", ".txt"}
"""File endings of the model files that may decide the features."""


class EncoderKind(Protocol):
    """Functions that are particular to the encoders of one modality."""

    preparer_files: tuple[str, ...]
    """Files of an exported encoder that its preparer is opened from, besides encoder.json."""

    def read_settings(self, name: str, folder: Path, longest: int | None) -> dict[str, Any]:
        """Return the settings of the model in a folder. Raises EncoderError, which names the encoder, if it is of another kind.

        Args:
            longest: maximum size of a row, such as its number of tokens; None for the encoder's own maximum.
        """

    def load(self, source: EncoderSource) -> TorchEncoder:
        """Load the model in torch."""

    def save_preparer(self, source: EncoderSource, folder: Path) -> None:
        """Write the preparer's files."""

    def open_preparer(self, folder: Path, kept: Kept | None) -> Preparer:
        """Open the preparer from its files."""

    def limit(self, settings: Mapping[str, Any]) -> str:
        """Return the size above which a row is cut, in words."""


KINDS: dict[str, EncoderKind] = {"text": TextEncoders()}
"""Name of a modality -> kind of the encoders that read its rows."""


def encoder_kind(settings: Mapping[str, Any]) -> EncoderKind:
    """Return the kind of an encoder from its encoder.json. Without the key `inputs`, it is an encoder of texts."""
    return KINDS[settings.get("inputs", "text")]


def find_encoder(
    name_or_path: str | Path,
    longest: int | None = None,
    sha256: Callable[[Path], str] = sha256_file,
    inputs: str = "text",
) -> EncoderSource:
    """Find an encoder's folder. Nothing is downloaded.

    Args:
        name_or_path: a folder as a Path; or a name, which is looked up among the bundled encoders, then below
            FSAT_ENCODERS, then in the Hugging Face cache.
        longest: maximum size of a row, such as its number of tokens; None, or a number above the encoder's maximum, gives that
            maximum.
        sha256: function that returns a file's sha256. `Store.sha256` reads a large file only once.
        inputs: name of the modality whose rows the encoder reads.

    Raises:
        EncoderError: there is no such encoder, it has no safetensors weights, or it reads no rows of this modality.
    """
    name = str(name_or_path)
    folder = name_or_path if isinstance(name_or_path, Path) else locate_encoder(name)
    settings = KINDS[inputs].read_settings(name, folder, longest)
    if not list(folder.glob("model*.safetensors")):
        raise EncoderError(
            f"encoder {name!r}",
            f"safetensors weights in {folder}",
            "none",
            "Other weight formats can run code when they are loaded; convert them first.",
        )
    try:
        digests = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.suffix in HASHED}
    except OSError as error:
        raise EncoderError(
            f"encoder {name!r}", f"files that can be read in {folder}", f"{error.filename}: {reason(error)}"
        ) from None
    revision = hashlib.sha256(canonical_json({"files": digests, **settings}).encode()).hexdigest()
    return EncoderSource(name, folder, settings, revision, inputs)
