"""FSAT_DATA and FSAT_STORE that are empty, and a data root that is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bad_input import GOOD, assert_nothing_written, said_once
from json_result import result

Cli = Callable[..., tuple[int, str, str]]
MakeTask = Callable[..., str]


@pytest.mark.parametrize("arguments", [["status"], ["run", "--changed"], ["run", "a"], ["run", "a", "b"], ["history", "a"]])
def test_data_root_that_is_not_there_is_said(
    arguments: list[str], cli: Cli, tmp_path: Path, store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSAT_DATA", str(tmp_path / "nowhere"))
    code, out, err = cli(*arguments)
    assert code == 2
    assert f"data root {tmp_path / 'nowhere'}: expected a folder with a folder for each task, got nothing there." in out + err
    assert not (tmp_path / "nowhere").exists()


def test_init_makes_the_data_root(cli: Cli, tmp_path: Path, store_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s.csv").write_bytes(GOOD)
    monkeypatch.setenv("FSAT_DATA", str(tmp_path / "new" / "data"))
    assert cli("init", "mine", "--samples", str(tmp_path / "s.csv"))[0] == 0
    assert [row["task"] for row in result(cli("status", "--json")[1])["tasks"]] == ["mine"]


@pytest.mark.parametrize("name", ["FSAT_DATA", "FSAT_STORE", "FSAT_ENCODERS"])
def test_empty_variable_is_said_and_nothing_is_written(
    name: str, cli: Cli, make_task: MakeTask, store_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(GOOD, encoder={"name": "org/model"})
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv(name, "")
    assert said_once(cli("run", task)).startswith(f"fsat: {name}: expected the path of a file or folder, got an empty value. ")
    assert_nothing_written(store_root)
    assert list((tmp_path / "here").iterdir()) == []
