"""Parquet and Arrow files. Their values are checked as they are read, and only some rows are in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsat_tasks.data.formats.records import Record, distinct, require, with_columns
from fsat_tasks.errors import DataError
from fsat_tasks.runtime.regular_file import check_regular

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["read_arrow", "read_parquet", "schema_of"]

ROWS = 4096
"""Number of rows of a Parquet file in memory at a time."""
FILE_MAGIC = b"ARROW1"
"""First bytes of Arrow's file format. Its stream format, which Hugging Face writes, has none."""


def read_parquet(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Yield the number and the values of each row of a Parquet file."""
    yield from _records(path, columns, "Parquet", _parquet_batches(path, columns))


def read_arrow(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Yield the number and the values of each row of an Arrow file or stream."""
    yield from _records(path, columns, "Arrow", _arrow_batches(path, columns))


def schema_of(path: Path) -> pa.Schema:
    """Return the schema of a Parquet file, or of an Arrow file or stream. Raises DataError if it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = "Parquet" if path.suffix.lower() == ".parquet" else "Arrow"
    try:
        if kind == "Parquet":
            return pq.read_schema(check_regular(path))
        with pa.OSFile(str(check_regular(path))) as file:
            return _open_arrow(file).schema
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(str(path), kind, error) from None


def _records(path: Path, columns: Sequence[str], kind: str, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, Record]]:
    import pyarrow as pa

    line = 1
    try:
        for batch in batches:
            batch.validate(full=True)  # reports bytes that are not UTF-8; reading alone reports nothing
            for number, record in enumerate(_rows(batch, f"{path}, from line {line}"), start=line):
                yield number, with_columns(record, columns, f"{path}, line {number}")
            line += len(batch)
    except (pa.ArrowException, OSError, ValueError) as error:  # a damaged header may have names that are not UTF-8
        raise _damaged(f"{path}, from line {line}" if line > 1 else str(path), kind, error) from None


def _rows(batch: pa.RecordBatch, where: str) -> Iterator[Record]:
    """Yield the rows of a batch. Raises DataError if a column has values that Python does not have, such as the year 10,000."""
    names = distinct(batch.schema.names)
    columns = []
    for name, column in zip(names, batch.columns, strict=True):
        try:
            columns.append(column.to_pylist())
        except (ArithmeticError, LookupError, ValueError) as error:  # a time zone that nobody knows is a LookupError
            got = f"{column.type}: {error.args[0] if error.args else type(error).__name__}"
            fix = "Leave the column out, or store it as text."
            raise DataError(f"{where}, column {name!r}", "values that can be read", got, fix) from None
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _parquet_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(check_regular(path), buffer_size=1 << 20)  # without a buffer, a row group's column is read in one piece
    names = file.schema_arrow.names
    require(path, columns, names)
    yield from file.iter_batches(ROWS, columns=_outer(columns, names))


def _arrow_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    with pa.OSFile(str(check_regular(path))) as file:
        opened = _open_arrow(file)
        names = opened.schema.names
        require(path, columns, names)
        in_parts = isinstance(opened, pa.RecordBatchFileReader)
        for batch in map(opened.get_batch, range(opened.num_record_batches)) if in_parts else opened:
            batch.validate(full=True)
            wanted = _outer(columns, names) or names
            yield batch.select([at for at, name in enumerate(names) if name in wanted])


def _open_arrow(file: pa.NativeFile) -> pa.RecordBatchStreamReader | pa.RecordBatchFileReader:
    import pyarrow as pa

    start = file.read(len(FILE_MAGIC))
    file.seek(0)
    return pa.ipc.open_file(file) if start == FILE_MAGIC else pa.ipc.open_stream(file)


def _outer(columns: Sequence[str], names: Sequence[str]) -> list[str] | None:
    """Return the columns of the file that these columns are in, or None for all."""
    return list(dict.fromkeys(name if name in names else name.split(".")[0] for name in columns)) or None


def _damaged(where: str, kind: str, error: Exception) -> DataError:
    return DataError(where, f"a readable {kind} file", str(error).split("\n")[0], "It may be cut off or damaged.")
