"""Fixtures that all tests share: one run of the demo task, and throw-away tasks and stores."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import fsat_tasks  # noqa: F401 - it switches off the usage reports of the libraries that tests import
from browser import NAMES, Tab, find_browser, open_tab
from hypothesis_profiles import load_profile
from task_folder import ENCODERS, Row, link_encoders, write_task

ROOT = Path(__file__).parents[1]

load_profile()

PLANTED = "planted-secret"
"""Part of every secret below. tests/integration/test_secrets.py checks that fsat and Airflow never write or print it."""

# all processes of the tests inherit them
os.environ |= {
    name: f"{PLANTED}-{name}" for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MLFLOW_TRACKING_PASSWORD", "GITHUB_TOKEN")
}

# the same tests pass with a GPU and without one: bits are those of a processor; tests/encoders/test_gpu.py says how it sees one
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def run_fsat(
    *arguments: str,
    store: Path,
    data: Path = ROOT / "data",
    input: str | bytes | None = None,  # noqa: A002
    variables: Mapping[str, str] | None = None,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Run the real command line in a process of its own, with more variables; `options` are those of subprocess.run."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FSAT_", "AIRFLOW_", "DVC_"))}
    environment |= {"FSAT_DATA": str(data), "FSAT_STORE": str(store), "COLUMNS": "200"} | dict(variables or {})
    result = subprocess.run(
        [sys.executable, "-m", "fsat_tasks.cli", *arguments],
        env=environment,
        input=input.encode() if isinstance(input, str) else input,
        capture_output=True,
        check=False,
        **options,
    )
    return subprocess.CompletedProcess(result.args, result.returncode, result.stdout.decode(), result.stderr.decode())


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the working copy."""
    return ROOT


@pytest.fixture(scope="session")
def planted() -> str:
    """Part that every planted secret has."""
    return PLANTED


@pytest.fixture(scope="session")
def fsat() -> Run:
    """Call the command line: fsat("status", store=folder) -> CompletedProcess."""
    return run_fsat


@pytest.fixture(scope="session")
def demo_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which `fsat run support-intents` was run once. It is shared: read it, or copy it with `demo_copy`."""
    workers = "PYTEST_XDIST_WORKER" in os.environ
    folder = (tmp_path_factory.getbasetemp().parent if workers else tmp_path_factory.getbasetemp()) / "demo"
    store, printed = folder / "store", folder / "printed.txt"
    with FileLock(folder.with_suffix(".lock")):  # one worker makes it for all
        if not printed.exists():
            result = run_fsat("run", "support-intents", store=store)
            assert result.returncode == 0, result.stderr
            printed.write_text(result.stdout + result.stderr, "utf-8")
    return store


@pytest.fixture
def store_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of this test's own, not made yet; FSAT_STORE names it."""
    monkeypatch.setenv("FSAT_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for tasks; FSAT_DATA names it."""
    monkeypatch.setenv("FSAT_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def encoder_store(demo_store: Path, store_root: Path) -> Path:
    """This test's store with the exported encoders in it, so that no test exports them again."""
    link_encoders(demo_store, store_root)
    return store_root


@pytest.fixture
def demo_copy(demo_store: Path, encoder_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of this test's own with all artefacts of the demo run, for changes; FSAT_DATA names the repository's tasks."""
    shutil.copytree(demo_store, encoder_store, ignore=shutil.ignore_patterns(*ENCODERS), dirs_exist_ok=True)
    monkeypatch.setenv("FSAT_DATA", str(ROOT / "data"))
    return encoder_store


@pytest.fixture
def make_task(data_root: Path, store_root: Path) -> Callable[..., str]:
    """Write a task folder: make_task(rows, **keys of task.yaml) -> its name; see `write_task`."""
    made: list[str] = []

    def make(rows: Sequence[Row] | bytes, **keys: Any) -> str:
        name = f"task-{len(made)}"
        made.append(name)
        write_task(data_root / name, rows, **keys)
        return name

    return make


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Call the command line in this process, without new imports: cli("validate", name) -> exit code, stdout, stderr."""
    from fsat_tasks.cli.app import main

    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fsat", *arguments])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def toy_rows() -> list[Row]:
    """Three classes of four rows that any encoder tells apart."""
    texts: Mapping[str, Sequence[str]] = {
        "animal": ("a cat asleep on the sofa", "the dog barks all night", "a horse in the field", "two goats on a hill"),
        "number": ("seven plus two is nine", "the square root of sixteen", "count from one to ten", "half of forty is twenty"),
        "travel": ("book a flight to Rome", "the train leaves at noon", "a hotel near the airport", "rent a car for a week"),
    }
    return [(text, label) for label, rows in texts.items() for text in rows]


def mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB, where mounting is permitted."""
    yield from mounted(tmp_path / "small", "size=1m")


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk on which nothing can be written, where mounting is permitted."""
    yield from mounted(tmp_path / "read-only", "ro")


@pytest.fixture(scope="session")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A tab of a real browser."""
    browser = find_browser()
    if browser is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on PATH")
    with open_tab(browser, tmp_path_factory.mktemp("profile")) as tab:
        yield tab
