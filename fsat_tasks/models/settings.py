"""Settings of an exported model, its config.json. Whoever reads them reads them here, where all are checked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fsat_tasks.encoders.kinds import KINDS
from fsat_tasks.errors import RegistryError, reason
from fsat_tasks.inputs.modalities import MODALITIES
from fsat_tasks.runtime.regular_file import check_regular, read_regular
from fsat_tasks.targets.registered import target_from_settings
from fsat_tasks.targets.target import Rule, Target

__all__ = ["CONFIG", "FILES", "MODEL", "ModelSettings", "altered", "find_graph", "read_settings"]

CONFIG = "config.json"
MODEL = "model.onnx"
FILES = {"fp32": MODEL, "fp16": "model-fp16.onnx", "int8": "model-int8.onnx"}
"""Variant of a model -> the file name of its graph."""
LARGEST = 1 << 24
"""Maximum size of config.json in bytes. 10,000 labels take less than one million."""
LARGEST_LIMIT = 1 << 24

Check = Callable[[Any], bool]


@dataclass(frozen=True)
class ModelSettings:
    """Checked settings of a model."""

    values: Mapping[str, Any]
    """Content of config.json."""
    target: Target
    rule: Rule
    scope_threshold: float
    """Minimum scope score of a row that counts as in scope."""
    inputs: str
    """Name of the modality of the rows that the model reads."""
    served: str
    """File name of the graph that is served."""


def read_settings(folder: Path) -> ModelSettings:
    """Read the settings of the model in a folder.

    Raises:
        RegistryError: config.json cannot be read, or a setting is missing or is not one that `fsat export` writes.
    """
    path = folder / CONFIG
    try:
        values = json.loads(read_regular(path, LARGEST).decode("utf-8"))
    except OSError as error:
        raise altered(path, "a file with a JSON object", reason(error)) from None
    except (ValueError, RecursionError) as error:
        raise altered(path, "a JSON object", str(error)) from None
    if not isinstance(values, dict):
        raise altered(path, "a JSON object", type(values).__name__)
    for name, (expected, good) in CHECKS.items():
        if not good(values.get(name)):
            got = f"{values[name]!r:.100}" if name in values else "none"
            raise altered(path, f"{name}: {expected}", got)
    target = target_from_settings(values.get("target") or {})
    labels, thresholds = values["labels"], values.get("thresholds") or []
    if bool(labels) != bool(target.parts("1")):
        raise altered(path, f"labels of the target {target.name}", f"{len(labels)}")
    if len(thresholds) != (len(labels) if target.many else 0):
        raise altered(path, f"the thresholds of a model of {len(labels)} labels", f"{len(thresholds)}")
    rule, inputs = Rule.from_json(values), values.get("inputs") or "text"
    return ModelSettings(values, target, rule, float(values["scope_threshold"]), inputs, values["served"])


def find_graph(folder: Path, name: str) -> Path:
    """Return the path of one of a model's graphs.

    Raises:
        RegistryError: the name is not that of a graph, such as a path that leads elsewhere, or there is no such file.
    """
    if name not in FILES.values():
        raise altered(folder, f"a graph named {', '.join(FILES.values())}", f"{name!r:.100}")
    try:
        return check_regular(folder / name)
    except OSError as error:
        raise altered(folder / name, "a file", reason(error)) from None


def altered(path: Path, expected: str, got: str) -> RegistryError:
    """Return the error about a file of a model that `fsat export` did not write in this way."""
    fix = "The file was altered. Restore the model from a backup, or move its folder away and make it again with fsat run."
    return RegistryError(str(path), expected, got.split("\n")[0], fix)


def _is_number(value: object) -> bool:
    """Return whether a value is a number, or infinity as text."""
    try:
        return isinstance(value, int | float | str) and not isinstance(value, bool) and not math.isnan(float(value))
    except (ValueError, OverflowError):
        return False


def _is_label_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value) and len(set(value)) == len(value)


def _is_target(value: object) -> bool:
    try:
        target = target_from_settings(value or {})  # type: ignore[arg-type] # any value, which is caught
    except (LookupError, TypeError, ValueError):
        return False
    return all(OPTIONS[name](option) for name, option in asdict(target).items())


OPTIONS: dict[str, Check] = {
    "separator": lambda value: isinstance(value, str) and len(value) == 1,
    "tolerance": lambda value: value is None or _is_number(value),
    "classes": lambda value: isinstance(value, dict) and all(isinstance(meaning, str) for meaning in value.values()),
}
"""Option of a target -> check of its value."""

CHECKS: dict[str, tuple[str, Check]] = {
    "served": (f"one of {', '.join(FILES.values())}", lambda value: value in [*FILES.values()]),
    "inputs": (
        "a kind of rows",
        lambda value: value is None or (isinstance(value, str) and value in MODALITIES and value in KINDS),
    ),
    "max_tokens": ("a number of tokens", lambda value: value is None or (type(value) is int and 0 < value <= LARGEST_LIMIT)),
    "target": ("a target with its options", lambda value: value is None or (isinstance(value, dict) and _is_target(value))),
    "labels": ("a list of different labels", _is_label_list),
    "thresholds": (
        "a list of numbers",
        lambda value: value is None or (isinstance(value, list) and all(map(_is_number, value))),
    ),
    "set_thresholds": (
        "a number for each coverage",
        lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
    ),
    "tolerance": ("a number", lambda value: value is None or _is_number(value)),
    "unit": ("a number", lambda value: value is None or _is_number(value)),
    "scope_threshold": ("a number", _is_number),
}
"""Setting -> what it must be in words, and a check of its value, which is None if the setting is missing.

Models of older versions of fsat lack the settings that may be None."""
