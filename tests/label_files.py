"""Files of new texts, and the results of labelling them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fsat_tasks.store import Artefact
from fsat_tasks.traffic.labelling import PREDICTIONS
from fsat_tasks.traffic.review import REVIEW


def write_texts(path: Path, texts: list[str]) -> Path:
    """Write texts in the format of the ending; in a .jsonl or .parquet file an empty one is null."""
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("id", "text"), *enumerate(texts)])
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"text": text or None}) + "\n" for text in texts), "utf-8")
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({"text": pa.array([text or None for text in texts], pa.string())}), path)
    else:
        path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return path


def read_rows(result: Artefact) -> list[dict[str, Any]]:
    """The predictions, row by row."""
    rows: list[dict[str, Any]] = pq.read_table(result.path / PREDICTIONS).to_pylist()
    return rows


def read_review(folder: Path) -> list[dict[str, str]]:
    """The rows of the review file."""
    with (folder / REVIEW).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
