"""Bad task.yaml, task, encoder or class names: one line that names file and field, exit code 2, nothing written."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bad_input import GOOD, assert_nothing_written, said_once
from promoted_models import registry_of

Cli = Callable[..., tuple[int, str, str]]
MakeTask = Callable[..., str]
MISSING = object()

CASES: dict[str, tuple[dict[str, Any], str]] = {
    # name: keys of task.yaml, what the error says after the file's name
    "unknown key": ({"qurey": "q.csv"}, ", line 1: qurey: .* an unknown key. Did you mean 'query'?"),
    "unknown key inside": ({"gates": {"max_ecf": 1}}, ", line 1: gates.max_ecf: .* Did you mean 'max_ece'?"),
    "wrong type": ({"shots": "five"}, ", line 1: shots: expected a whole number, got 'five'"),
    "missing key": ({"samples": MISSING}, ": samples: expected this key, got nothing"),
    "missing file": ({"query": "q.csv"}, ", line 1: query: expected a file in .*, got 'q.csv', which is not there"),
    "file outside": ({"query": "../q.csv"}, ", line 1: query: expected a file inside .*, got '../q.csv'"),
    "file by absolute path": ({"query": "/q.csv"}, ", line 1: query: expected a file inside .*, got '/q.csv'"),
    "class that no sample has": ({"classes": {"anmal": "x"}}, ": classes.anmal: .* Labels there: animal"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_task_file_is_one_line_and_nothing_is_written(case: str, cli: Cli, data_root: Path, store_root: Path) -> None:
    keys, message = CASES[case]
    folder = data_root / "task"
    folder.mkdir()
    (folder / "s.csv").write_bytes(GOOD)
    values = {key: value for key, value in {"samples": "s.csv", **keys}.items() if value is not MISSING}
    (folder / "task.yaml").write_text(json.dumps(values))
    err = said_once(cli("validate", "task"))
    assert re.match(re.escape(f"fsat: {folder / 'task.yaml'}") + message.replace("?", r"\?"), err), err
    assert_nothing_written(store_root)


def test_duplicate_key_is_named_with_its_line(cli: Cli, make_task: MakeTask, data_root: Path, store_root: Path) -> None:
    task = make_task(GOOD)
    (data_root / task / "task.yaml").write_text("samples: samples.csv\nseed: 1\nseed: 2\n")
    assert "task.yaml, line 3: expected each key once, got 'seed' a second time" in said_once(cli("validate", task))
    assert_nothing_written(store_root)


def test_link_out_of_the_folder_is_refused(cli: Cli, make_task: MakeTask, data_root: Path, store_root: Path) -> None:
    task = make_task(GOOD, query="q.csv")
    (data_root / "secret.csv").write_bytes(GOOD)
    (data_root / task / "q.csv").symlink_to("../secret.csv")
    assert "query: expected a file inside" in said_once(cli("validate", task))
    assert_nothing_written(store_root)


# Names


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "", "/etc"])
@pytest.mark.parametrize("verb", ["run", "validate", "predict", "status"])
def test_task_name_that_is_a_path_is_refused(name: str, verb: str, cli: Cli, data_root: Path, store_root: Path) -> None:
    if verb == "predict":
        assert f"task name {name!r}" in said_once(cli(verb, name, "text"))
    else:
        assert f"task name {name!r}" in said_once(cli(verb, name))
    assert_nothing_written(store_root)


def test_task_that_is_not_there_is_named_with_those_that_are(cli: Cli, make_task: MakeTask, store_root: Path) -> None:
    task = make_task(GOOD)
    assert f"Tasks there: {task}. Make one with: fsat init other" in said_once(cli("run", "other"))
    assert_nothing_written(store_root)


@pytest.mark.parametrize(("name", "message"), [("org/nowhere", "got none of that name"), ("../x", "got something else")])
def test_encoder_that_is_not_on_this_machine_is_named_and_nothing_is_fetched(
    name: str, message: str, cli: Cli, make_task: MakeTask, store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("fsat went to the network"))
    task = make_task(GOOD)
    code, _, err = cli("extract", task, "--encoder", name)
    assert code == 2
    (line,) = [line for line in err.splitlines() if line.startswith("fsat: ")]
    assert f"encoder {name!r}: expected " in line
    assert message in line
    assert_nothing_written(store_root)


@pytest.mark.parametrize(
    "words",
    [
        *("run", "validate", "status", "history", "rollback", "path", "open", "snapshot", "export-strings", "apply", "watch"),
        *("predict burgr text", "promote burgr 1", "diff burgr 1", "add burgr more.csv"),
    ],
)
def test_every_verb_says_that_there_is_no_such_task_and_which_is_meant(
    words: str, cli: Cli, make_task: MakeTask, data_root: Path, store_root: Path
) -> None:
    (data_root / make_task(GOOD)).rename(data_root / "burger")
    err = said_once(cli(*words.split(), *([] if " " in words else ["burgr"])))
    assert err.startswith("fsat: task 'burgr': expected a folder with a task.yaml under ")
    assert err.endswith(", got none of that name. Did you mean 'burger'? Tasks there: burger.\n")
    assert_nothing_written(store_root)


def test_registry_whose_task_folder_is_gone_is_still_shown(cli: Cli, data_root: Path, store_root: Path) -> None:
    registry_of(store_root, 1)
    code, out, _ = cli("history", "task")
    assert (code, "promote" in out) == (0, True)
