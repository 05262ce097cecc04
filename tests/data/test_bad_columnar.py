"""Parquet and Arrow files with values that Python does not have, columns of one name, or damaged bytes: one clear error."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fsat_tasks.data.formats.records import distinct
from fsat_tasks.data.formats.registry import iter_records
from fsat_tasks.data.formats.sources import open_source
from fsat_tasks.errors import DataError

TABLE: dict[str, Any] = {"text": ["a", "b", "c"], "label": ["x", "y", "x"]}


def write_arrow_file(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)


def write_arrow_stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(path, table.schema) as file:
        file.write_table(table)


WRITERS: dict[str, tuple[str, Callable[[pa.Table, Path], Any]]] = {
    "parquet": (".parquet", pq.write_table),
    "file": (".arrow", write_arrow_file),
    "stream": (".arrow", write_arrow_stream),
}


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[pa.Table], Path]:
    ending, write = WRITERS[request.param]

    def written(table: pa.Table) -> Path:
        write(table, tmp_path / f"s{ending}")
        return tmp_path / f"s{ending}"

    return written


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (2**60, pa.timestamp("us")),
        (1, pa.timestamp("us", tz="Nowhere/Land")),
        (2**62, pa.duration("s")),
        (2**31 - 1, pa.date32()),
    ],
    ids=str,
)
def test_value_that_python_does_not_have_is_named(number: int, kind: pa.DataType, write: Callable[[pa.Table], Path]) -> None:
    path = write(pa.table({**TABLE, "when": pa.array([number] * 3, kind)}))
    with pytest.raises(DataError, match="line 1, column 'when': expected values that can be read, got") as caught:
        open_source(path, "--samples").columns()
    assert caught.value.fix == "Leave the column out, or store it as text."
    assert [record["text"] for _, record in iter_records(path, ["text"])] == ["a", "b", "c"]  # it is not needed there


def test_columns_of_one_name(write: Callable[[pa.Table], Path]) -> None:
    path = write(pa.table(list(map(pa.array, ([*TABLE.values()] * 2))), names=["text", "a", "b", "a"]))
    assert open_source(path, "--samples").columns() == {
        "text": ["a", "b", "c"],
        "a": ["x", "y", "x"],
        "b": ["a", "b", "c"],
        "a (2)": ["x", "y", "x"],
    }
    assert len(list(iter_records(path, ["text"]))) == 3
    with pytest.raises(DataError, match="expected one column 'a', got 2 of that name"):
        list(iter_records(path, ["a"]))


def test_names_are_made_distinct() -> None:
    assert distinct(["a", "a", "a (2)", "", "b", "", "a"]) == ["a", "a (3)", "a (2)", "", "b", "", "a (4)"]


def test_damaged_bytes_are_one_clear_error_or_still_a_table(write: Callable[[pa.Table], Path]) -> None:
    path = write(pa.table(TABLE))
    whole, draw = path.read_bytes(), random.Random(1)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 3, 20))):
            damaged[draw.randrange(len(whole))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            open_source(path, "--samples").columns()
        except DataError as error:
            assert str(path) in error.where
