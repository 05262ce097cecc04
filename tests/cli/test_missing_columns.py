"""A file that lacks a column: the error names the option of the verb, and the command to type."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from bad_input import GOOD, said_once
from fsat_tasks.cli.column_help import column_options
from fsat_tasks.errors import ColumnError

Cli = Callable[..., tuple[int, str, str]]
TRAFFIC = "id;Nachricht;Kanal\n1;where is my dog;Web\n2;my train was late;Web\n"


def test_add_names_both_options_with_the_likeliest_columns(cli: Cli, make_task: Callable[..., str], tmp_path: Path) -> None:
    more = tmp_path / "more.csv"
    more.write_text("Nr;Anliegen;Amt\n1;a cow in the street;animal\n2;a dog;animal\n")
    task = make_task(GOOD)
    err = said_once(cli("add", task, str(more)))
    command = shlex.join(["fsat", "add", task, str(more), "--text", "Anliegen", "--label", "Amt"])
    assert err.endswith(f"--text and --label name it, such as: {command}\n")
    err = said_once(cli("add", task, str(more), "--text", "Anliegn", "--label=Amt"))
    command = shlex.join(["fsat", "add", task, str(more), "--label=Amt", "--text", "Anliegen"])
    assert err.endswith(f"Did you mean 'Anliegen'? --text names it, such as: {command}\n")


def test_other_verbs_name_their_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "traffic.csv"
    file.write_text(TRAFFIC)
    monkeypatch.setattr("sys.argv", ["fsat", "apply", "desk", "traffic.csv", "--column", "text"])
    with pytest.raises(ColumnError) as caught, column_options(file, {"--column": "text"}):
        raise ColumnError(str(file), "text", ["id", "Nachricht", "Kanal"])
    assert caught.value.fix == "--column names it, such as: fsat apply desk traffic.csv --column Nachricht"


def test_file_with_an_unknown_separator_is_shown_as_it_was_read(
    cli: Cli, make_task: Callable[..., str], data_root: Path, tmp_path: Path
) -> None:
    file = tmp_path / "hash.csv"
    file.write_text("Nr#Anliegen#Amt\n1#a cow#animal\n2#a dog, a cat#animal\n3#a road#travel\n")
    said = [said_once(cli("init", "new", "--samples", str(file))), said_once(cli("add", make_task(GOOD), str(file)))]
    assert all("the single column 'Nr#Anliegen#Amt'" in err and "write a line sep=# before it" in err for err in said)
