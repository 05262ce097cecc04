"""Task folders and stores that tests make for themselves."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = tuple[str, str]
TABLES = ("samples", "query", "unlabelled", "out_of_scope")
ENCODERS = ("encoder", "encoder-int8")


def write_task(folder: Path, rows: Sequence[Row] | bytes, **keys: Any) -> None:
    """Write a task folder.

    Args:
        rows: (text, label) pairs, or the bytes of samples.csv.
        keys: keys of task.yaml. A key that names a file may have rows or bytes too.
    """
    folder.mkdir(parents=True)
    keys.setdefault("tune", {"body": "off"})  # tuning a body takes seconds, and is tested where it is the point
    for key, value in {"samples": rows, **keys}.items():
        if key in TABLES and not isinstance(value, str):
            keys[key] = write_rows(folder / f"{key}.csv", value).name
    (folder / "task.yaml").write_text(json.dumps(keys), "utf-8")  # JSON is YAML


def write_rows(path: Path, rows: Sequence[Row] | bytes) -> Path:
    if isinstance(rows, bytes):
        path.write_bytes(rows)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    return path


def link_encoders(made: Path, store: Path) -> None:
    """Put the exported encoders of another store into this one, so that no test exports them again."""
    for step in ENCODERS:
        shutil.copytree(made / step, store / step, copy_function=os.link)
