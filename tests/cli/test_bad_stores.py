"""Stores and disks that cannot be written: one line that names the store, exit code 2, nothing half-written."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bad_input import GOOD, assert_nothing_written, said_once
from fsat_tasks.steps.order import STEPS

Cli = Callable[..., tuple[int, str, str]]
MakeTask = Callable[..., str]
ALL_BUT_8_KIB = (1 << 20) - (8 << 10)


def assert_store_refused(result: tuple[int, str, str] | subprocess.CompletedProcess[str], store: Path) -> None:
    if isinstance(result, subprocess.CompletedProcess):
        result = result.returncode, result.stdout, result.stderr
    assert said_once(result).startswith(f"fsat: store {store}: expected a folder that can be written, got ")


def test_store_below_a_file_is_refused(fsat: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_store_refused(fsat("run", "support-intents", store=tmp_path / "file" / "store"), tmp_path / "file" / "store")
    assert (tmp_path / "file").read_bytes() == b""
    assert fsat("status", store=tmp_path / "file" / "store").returncode == 0
    assert "expected a published model, got none yet" in fsat("predict", "support-intents", "x", store=tmp_path / "file").stderr


def test_read_only_store_is_refused(cli: Cli, make_task: MakeTask, read_only_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSAT_STORE", str(read_only_disk))
    assert_store_refused(cli("validate", make_task(GOOD)), read_only_disk)


def test_full_store_is_refused(cli: Cli, make_task: MakeTask, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(GOOD)
    (small_disk / "filler").write_bytes(b"x" * ALL_BUT_8_KIB)
    monkeypatch.setenv("FSAT_STORE", str(small_disk))
    assert_store_refused(cli("validate", task), small_disk)
    (small_disk / "filler").unlink()
    assert_nothing_written(small_disk)
    assert cli("validate", task)[0] == 0


def test_limit_on_the_size_of_files_is_refused(
    fsat: Callable[..., Any], make_task: MakeTask, data_root: Path, tmp_path: Path
) -> None:
    task = make_task(GOOD)

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    assert_store_refused(fsat("validate", task, store=tmp_path / "store", data=data_root, preexec_fn=limit), tmp_path / "store")
    assert_nothing_written(tmp_path / "store")


@pytest.mark.parametrize("step", ["tune", "evaluate", "export", "publish"])
def test_each_later_step_refuses_a_full_store(
    step: str, demo_copy: Path, small_disk: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step's own folder is on the full disk. Links lead to the artefacts that it needs, on a disk with room."""
    steps = list(STEPS)
    for made in demo_copy.iterdir():
        if made.name.startswith("rows-"):  # a folder that is written to is no link
            (small_disk / made.name).mkdir()
            for part in made.iterdir():
                (small_disk / made.name / part.name).symlink_to(part)
        elif made.name not in ("checkpoints", "registry", "runs", *steps[steps.index(step) :]):
            (small_disk / made.name).symlink_to(made)
    (small_disk / "filler").write_bytes(b"x" * ALL_BUT_8_KIB)
    monkeypatch.setenv("FSAT_STORE", str(small_disk))
    before = sorted(demo_copy.glob("*/*/*/manifest.json"))
    assert_store_refused(cli(step, "support-intents"), small_disk)
    assert sorted(demo_copy.glob("*/*/*/manifest.json")) == before  # the steps before it had nothing to do
    assert (small_disk / step).is_dir()  # and it had begun
    (small_disk / "filler").unlink()
    assert_nothing_written(small_disk)


# Folders for copies


def test_out_folder_that_is_a_file_or_has_other_files_is_left_as_it_is(cli: Cli, make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task(GOOD)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "folder"):
        code, _, err = cli("validate", task, "--out", str(out))
        assert code == 2
        assert err.splitlines()[-1].startswith(f"fsat: --out {out}: expected ")
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "file").read_text() == "mine"


def test_out_is_checked_before_the_work(cli: Cli, demo_copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(demo_copy / "registry")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "full")
    (tmp_path / "loop").symlink_to("loop")
    for out in ("full", "link", "loop", "full/mine/below"):
        code, _, err = cli("run", "support-intents", "--out", str(tmp_path / out))
        assert (code, err.count("\n")) == (2, 1), err
        assert err.startswith(f"fsat: --out {tmp_path / out}: expected ")
        assert not (demo_copy / "registry").exists()
