"""Transformers that read texts: what is particular to them among all encoders."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fsat_tasks.encoders.prepare import Preparer
from fsat_tasks.encoders.source import EncoderSource, read_config, read_json
from fsat_tasks.encoders.text_preparer import TextPreparer
from fsat_tasks.errors import EncoderError
from fsat_tasks.runtime.failures import say_type
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.store.reference import is_file_name

if TYPE_CHECKING:
    from fsat_tasks.encoders.graph import TorchEncoder

__all__ = ["TextEncoders"]

log = logging.getLogger(__name__)

TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")


class TextEncoders:
    """Encoders of texts: a transformers model, mean or cls pooling, and a tokenizer."""

    preparer_files: tuple[str, ...] = ("tokenizer.json",)

    def read_settings(self, name: str, folder: Path, longest: int | None) -> dict[str, Any]:
        """Return `pooling`, `normalize` and `max_tokens`.

        Raises:
            EncoderError: the folder has no tokenizer, or the model is not a transformer with mean or cls pooling.
        """
        config = read_config(folder / "config.json", name)
        if not any(_has(folder, file) for file in TOKENIZER_FILES):
            raise EncoderError(f"encoder {name!r}", f"a tokenizer in {folder}", "none", f"One of {', '.join(TOKENIZER_FILES)}.")
        _refuse_what_is_not_run(folder, name)
        own = _own_max_tokens(folder, config, name)
        return {
            "pooling": _pooling(folder, name),
            "normalize": any(module["type"].endswith("Normalize") for module in _modules(folder)),
            "max_tokens": min(longest or own, own),
        }

    def load(self, source: EncoderSource) -> TorchEncoder:
        """Load the model in torch."""
        from fsat_tasks.encoders.text_graph import PooledEncoder

        return PooledEncoder(source.folder, source.settings["pooling"], source.settings["normalize"])

    def save_preparer(self, source: EncoderSource, folder: Path) -> None:
        """Write tokenizer.json. Raises EncoderError if the tokenizer has no token to pad with."""
        if not any(module["type"].endswith("Pooling") for module in _modules(source.folder)):
            log.warning("the config of encoder %r names no pooling; the mean over tokens is taken", source.name)
        _save_tokenizer(source, folder / "tokenizer.json")

    def open_preparer(self, folder: Path, kept: Kept | None) -> Preparer:
        """Open the tokenizer."""
        return TextPreparer(folder, kept)

    def limit(self, settings: Mapping[str, Any]) -> str:
        """Return the maximum number of tokens, in words."""
        return f"{settings['max_tokens']} tokens"


def _own_max_tokens(folder: Path, config: dict[str, Any], name: str) -> int:
    """Return the encoder's maximum length. If the model's files name several, return the smallest."""
    # RoBERTa-like models number positions from the pad id plus one, so they have fewer positions than the config says
    offset = _count(config, "pad_token_id", name) + 1 if "roberta" in str(config.get("model_type")) else 0
    bounds = [(_count(config, "max_position_embeddings", name) or 512) - offset]
    for file, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        value = _count(read_config(folder / file, name), key, name) if _has(folder, file) else 0
        bounds += [value] if value else []
    if min(bounds) < 1:
        raise EncoderError(f"encoder {name!r}", "an encoder that reads one token or more", f"a limit of {min(bounds)}")
    return min(bounds)


def _count(config: Mapping[str, Any], key: str, name: str) -> int:
    """Return a whole number of a config; 0 if there is none."""
    value = config.get(key) or 0
    if not isinstance(value, int | float) or not 0 <= value < math.inf:  # some configs have 1e30 for no limit
        raise EncoderError(f"encoder {name!r}: {key}", "a number of 0 or more", f"{value!r:.80}")
    return int(value)


def _refuse_what_is_not_run(folder: Path, name: str) -> None:
    """Raise EncoderError if the exported graph would ignore a part of the encoder, because the features would be wrong."""
    for module in _modules(folder):
        if not module["type"].endswith(("Transformer", "Pooling", "Normalize")):
            raise EncoderError(f"encoder {name!r}", "a transformer, pooling and normalisation", module["type"])
        if module["type"].endswith("Pooling"):
            config = read_config(folder / module["path"] / "config.json", name)
            if _prefix(folder, name) and config.get("include_prompt") is False:
                raise EncoderError(f"encoder {name!r}", "pooling with the tokens of the prompt", "include_prompt: false")


def _prefix(folder: Path, name: str) -> str:
    """Return the text of sentence-transformers' default prompt, or an empty string."""
    settings = "config_sentence_transformers.json"
    config = read_config(folder / settings, name) if _has(folder, settings) else {}
    default = config.get("default_prompt_name")
    if not default:
        return ""
    prompts = config.get("prompts")
    if not isinstance(prompts, dict) or not isinstance(default, str) or not isinstance(prompts.get(default), str):
        raise EncoderError(f"encoder {name!r}", f"the prompt {default!r} among the prompts of {settings}", "none of that name")
    return str(prompts[default])


def _has(folder: Path, name: str) -> bool:
    return (folder / name).exists()  # what is there but no file is refused when it is read


def _modules(folder: Path) -> list[dict[str, str]]:
    """Return the modules that sentence-transformers lists for the model; empty if there is no such list."""
    path = folder / "modules.json"
    if not _has(folder, path.name):
        return []
    try:
        modules = [{"type": str(module["type"]), "path": module["path"]} for module in read_json(path, folder.name)]
    except (LookupError, TypeError) as error:
        raise EncoderError(f"encoder {folder.name!r}", f"a readable {path}", str(error)) from None
    for module in modules:
        if module["path"] != "" and not is_file_name(module["path"]):
            raise EncoderError(f"encoder {folder.name!r}: {path}", "folders below its own", f"{module['path']!r:.100}")
    return modules


def _pooling(folder: Path, name: str) -> Literal["mean", "cls"]:
    for module in _modules(folder):
        if module["type"].endswith("Pooling"):
            config = read_config(folder / module["path"] / "config.json", name)
            modes = {key.removeprefix("pooling_mode_") for key, on in config.items() if on is True}
            modes |= {str(config.get("pooling_mode", ""))}
            if "cls_token" in modes or "cls" in modes:
                return "cls"
            if not modes & {"mean_tokens", "mean"}:
                raise EncoderError(f"encoder {name!r}", "mean or cls pooling", ", ".join(sorted(modes)))
    return "mean"


def _save_tokenizer(source: EncoderSource, path: Path) -> None:
    """Save the fast tokenizer with padding, with truncation and with a normaliser that adds the encoder's prefix."""
    from tokenizers import normalizers
    from transformers import AutoTokenizer

    try:
        wrapper = AutoTokenizer.from_pretrained(str(source.folder), trust_remote_code=False, local_files_only=True)
    except Exception as error:  # transformers fails in many ways on a damaged file
        got = f"{say_type(error):.200}"
        raise EncoderError(f"encoder {source.name!r}", f"tokenizer files in {source.folder} that can be read", got) from error
    pad = wrapper.pad_token or wrapper.eos_token or wrapper.unk_token
    if pad is None:
        raise EncoderError(f"encoder {source.name!r}", "a tokenizer with a pad, end or unknown token", "none of them")
    tokenizer = wrapper.backend_tokenizer
    prefix = _prefix(source.folder, source.name)
    if prefix:
        prepend = normalizers.Prepend(prefix)
        tokenizer.normalizer = normalizers.Sequence([prepend, tokenizer.normalizer]) if tokenizer.normalizer else prepend
    tokenizer.enable_truncation(source.settings["max_tokens"])
    tokenizer.enable_padding(pad_id=wrapper.convert_tokens_to_ids(pad), pad_token=pad)
    tokenizer.save(str(path))
