"""Folders of other tools in which a pipe or a device stands for a file: one error, no waiting, and nothing is left behind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fsat_tasks.data.new_task import create_task
from fsat_tasks.errors import DataError

Make = Callable[[Path], object]
MAKES: dict[str, Make] = {
    "pipe": lambda path: os.mkfifo(path),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "loop": lambda path: path.symlink_to(path.name),
    "folder": lambda path: path.mkdir(),
}


def dialogflow(folder: Path, make: Make) -> None:
    make(folder / "a_usersays_en.json")


def hugging_face(folder: Path, make: Make) -> None:
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "d.arrow"}]}))
    (folder / "dataset_info.json").write_text("{}")
    make(folder / "d.arrow")


def state(folder: Path, make: Make) -> None:
    (folder / "dataset_dict.json").write_text('{"splits": ["train"]}')
    (folder / "train").mkdir()
    make(folder / "train" / "state.json")


def texts(folder: Path, make: Make) -> None:
    (folder / "class").mkdir()
    make(folder / "class" / "a.txt")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("write", [dialogflow, hugging_face, state, texts])
def test_what_is_no_file_is_refused(write: Callable[[Path, Make], None], make: str, data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "in", MAKES[make])
    with pytest.raises(DataError, match=r"expected a .*, got ") as caught:
        create_task("new", {"samples": tmp_path / "in"})
    assert "\n" not in str(caught.value)
    assert list(data_root.iterdir()) == []
