"""Paths that are too long, may not be read, lead to no file or have odd letters: one clear line, and names that can be pasted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bad_input import GOOD, said_once
from fsat_tasks.runtime.printable import shell_command, shown_name

Cli = Callable[..., tuple[int, str, str]]
MakeTask = Callable[..., str]
LONG = "a" * 300


def forbid(path: Path) -> None:
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")


def test_samples_that_may_not_be_read_are_named(cli: Cli, make_task: MakeTask, data_root: Path) -> None:
    task = make_task(GOOD, unlabelled=["a"])
    for name in ("unlabelled", "samples"):
        (path,) = (data_root / task).glob(f"{name}.*")
        forbid(path)
        assert said_once(cli("validate", task)) == f"fsat: {path}: expected a file that can be read, got Permission denied.\n"
        path.chmod(0o644)


def test_init_in_a_data_root_that_may_not_be_entered_is_refused(cli: Cli, data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes(GOOD)
    forbid(data_root)
    try:
        said = said_once(cli("init", "new", "--samples", str(tmp_path / "s.csv")))
    finally:
        data_root.chmod(0o755)
    assert said == f"fsat: data root {data_root}: expected a folder that can be written, got Permission denied.\n"


@pytest.mark.parametrize("verb", ["predict", "watch"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/dev/null", "is a pipe, a socket or a device"),
        ("/", "is a folder"),
        ("nowhere.csv", "is not there"),
        (LONG, "cannot be reached: File name too long"),
    ],
)
def test_what_is_no_file_is_called_what_it_is(verb: str, name: str, why: str, cli: Cli, make_task: MakeTask) -> None:
    words = ("--file", name) if verb == "predict" else (name,)
    assert f"expected a file, got {name!r}, which {why}." in said_once(cli(verb, make_task(GOOD), *words))


@pytest.mark.parametrize("value", [LONG, f"{'a' * 200}/" * 30])
def test_store_with_too_long_a_path_is_refused(value: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSAT_STORE", value)
    assert "fsat: FSAT_STORE: expected a path of at most 3,000 bytes" in said_once(cli("gc"))
    code, out, err = cli("doctor")
    assert (code, err) == (1, "")
    assert "FSAT_STORE" in out


@pytest.mark.parametrize(
    ("words", "relative"),
    [(("status",), "FSAT_DATA"), (("gc",), "FSAT_STORE"), (("run", "task", "--out", "o"), None)],
)
def test_removed_working_folder_is_named(
    words: tuple[str, ...],
    relative: str | None,
    cli: Cli,
    make_task: MakeTask,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_task(GOOD)
    if relative:
        monkeypatch.setenv(relative, "here")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert said_once(cli(*words)).startswith("fsat: working folder: expected a folder that exists, got one that was removed.")


ODD = ["plain.csv", "a b.csv", "it's.csv", "red \x1b[1m.csv", "two\nlines.csv", "\u202eturned\\x.csv", "caf\udce9\x07'.csv"]


@pytest.mark.parametrize("name", ODD)
def test_printed_command_names_the_file_that_there_is(name: str) -> None:
    printed = shell_command(["printf", "%s", name])
    assert printed.isprintable()
    assert subprocess.run(["bash", "-c", printed], capture_output=True, check=True).stdout == os.fsencode(name)


@pytest.mark.parametrize("name", ODD)
def test_name_that_prints_as_it_is_stays(name: str) -> None:
    assert (shown_name(name) == name) == name.isprintable()
    assert shown_name(name).isprintable()


def test_apply_prints_names_with_odd_letters_so_that_they_can_be_pasted(
    demo_copy: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    odd = "red\x1b[1m\n.csv"
    Path(odd).write_text("text\nwhat is the weather in Rome\n")
    code, out, err = cli("apply", "support-intents", odd, "--out", "o")
    assert code == 0, err
    command = out.splitlines()[-1]
    paths = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True)
    assert Path(os.fsdecode(paths.stdout.split(b"\0")[-2])) == Path("o") / odd / "review.csv"
    assert (tmp_path / "o" / odd / "review.csv").is_file()
    assert any(line.startswith("  predictions  $'o/red\\x1b[1m\\x0a.csv/") for line in out.splitlines())
