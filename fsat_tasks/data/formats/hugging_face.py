"""Data sets of Hugging Face: folders that `save_to_disk` wrote, and the names of classes that Parquet and Arrow files carry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fsat_tasks.data.formats.columnar import read_arrow, schema_of
from fsat_tasks.data.formats.records import Record
from fsat_tasks.errors import DataError, reason
from fsat_tasks.runtime.regular_file import open_regular
from fsat_tasks.store.reference import is_file_name

__all__ = ["class_names", "find_split", "is_saved", "named", "read_saved"]

LARGEST_STATE = 1 << 24
"""Maximum number of bytes of a JSON file beside the data."""
TRAINING = "train"
"""Split that is taken if a folder has several."""


def is_saved(folder: Path) -> bool:
    """Return whether `save_to_disk` wrote a folder: a data set, or a dictionary of data sets (splits)."""
    return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))


def find_split(folder: Path) -> Path:
    """Return the folder of the data set: the folder itself, or that of its split. Raises DataError if it is not clear which."""
    if not (folder / "dataset_dict.json").is_file():
        return folder
    splits = _load(folder / "dataset_dict.json").get("splits")
    names = [name for name in splits if is_file_name(name)] if isinstance(splits, list) else []
    if TRAINING in names or len(names) == 1:
        return folder / (TRAINING if TRAINING in names else names[0])
    found = f"the splits {', '.join(map(repr, names)) or 'none'}"
    raise DataError(str(folder), f"a split {TRAINING!r}", found, "Name the folder of the split.")


def read_saved(folder: Path) -> Iterator[Record]:
    """Yield the rows of a data set, with the names of the classes in place of their numbers."""
    if _load(folder / "state.json").get("_indices_data_files"):
        fix = "Call flatten_indices() before save_to_disk()."
        raise DataError(str(folder), "a data set whose rows are in their order", "one with indices beside them", fix)
    names = _names(_load(folder / "dataset_info.json").get("features"))
    for path in _data_files(folder):
        for _, record in read_arrow(path, ()):
            yield named(record, names, str(path))


def named(record: Record, names: dict[str, list[str]], where: str) -> Record:
    """Return a record with the names of the classes in place of their numbers. Hugging Face writes -1 for no class."""
    for column, classes in names.items():
        value = record.get(column)
        if isinstance(value, int) and value >= len(classes):
            raise DataError(f"{where}, column {column!r}", f"a number below {len(classes)}, one for each class", str(value))
        if isinstance(value, int):
            record = record | {column: classes[value] if value >= 0 else None}
    return record


def class_names(path: Path) -> dict[str, list[str]]:
    """Return column -> names of its classes, for each class-label column of a Parquet or Arrow file that Hugging Face wrote."""
    try:
        about = json.loads((schema_of(path).metadata or {}).get(b"huggingface", b"{}"))
        return _names(about["info"]["features"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}


def _names(features: Any) -> dict[str, list[str]]:
    """Return column -> names of its classes, from the description of the columns."""
    columns = features.items() if isinstance(features, dict) else ()
    names = {column: feature.get("names") for column, feature in columns if isinstance(feature, dict)}
    return {column: own for column, own in names.items() if isinstance(own, list) and all(isinstance(one, str) for one in own)}


def _data_files(folder: Path) -> list[Path]:
    listed = _load(folder / "state.json").get("_data_files")
    names = [str(one.get("filename")) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    if not names or not all(is_file_name(name) and name.endswith(".arrow") for name in names):
        raise DataError(str(folder / "state.json"), "the names of the data files", f"{names!r:.200}")
    return [folder / name for name in names]


def _load(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path) as file:
            found = json.loads(file.read(LARGEST_STATE))
    except (ValueError, RecursionError, OSError) as error:
        got = reason(error) if isinstance(error, OSError) else str(error)
        raise DataError(str(path), "a JSON object of Hugging Face", got) from None
    return found if isinstance(found, dict) else {}
