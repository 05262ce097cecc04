"""Help if a file lacks a column: the option of the verb that names it, and the command to type."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["column_options"]


@contextmanager
def column_options(file: Path, options: Mapping[str, str]) -> Iterator[None]:
    """Name in an error about a missing column the options of the verb, and the command with the likeliest columns.

    Args:
        file: the file whose columns the options name.
        options: option -> the column that it names now.
    """
    from fsat_tasks.errors import ColumnError
    from fsat_tasks.runtime.printable import shell_command

    try:
        yield
    except ColumnError as error:
        if not error.where.startswith(str(file)):  # a file of the task, whose columns task.yaml names
            raise
        missing = {option: column for option, column in options.items() if column not in error.there}
        words = sys.argv[1:]
        for option, column in missing.items():
            words = _with_option(words, option, _likely(file, option, column))
        names = f"{' and '.join(missing)} name{'' if len(missing) > 1 else 's'} it"
        raise error.with_fix(f"{names}, such as: {shell_command(['fsat', *words])}") from None


def _likely(file: Path, option: str, column: str) -> str:
    """Return the column that is probably meant: one of nearly that name, one whose name fits, or one whose cells fit."""
    from fsat_tasks.data.column_guess import guess_label, guess_text, likely_columns
    from fsat_tasks.data.formats.sources import open_source

    columns = open_source(file, "FILE").columns()
    close = difflib.get_close_matches(column, columns, n=1)
    guess, place = (guess_label, 1) if option == "--label" else (guess_text, 0)
    return (close[0] if close else None) or guess(columns) or likely_columns(columns)[place]


def _with_option(words: list[str], option: str, value: str) -> list[str]:
    """Return the words of a command line with another value of an option."""
    kept = [word for at, word in enumerate(words) if word.split("=")[0] != option and words[at - 1 : at] != [option]]
    return [*kept, option, value]
