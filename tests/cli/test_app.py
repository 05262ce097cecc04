"""The command itself: help, usage, what it imports; and its verbs init and status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from demo_run import TASK
from fsat_tasks import __version__

Cli = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("predict", "--help")])
def test_help_ends_with_code_0(arguments: tuple[str, ...], cli: Cli) -> None:
    code, out, err = cli(*arguments)
    assert (code, err) == (0, "")
    assert "Usage: fsat" in out


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("run",), ("run", TASK, "--shots", "0"), ("run", TASK, "--device", "tpu"), ("run", TASK, "--nonsense")],
)
def test_wrong_usage_ends_with_code_2(arguments: tuple[str, ...], cli: Cli) -> None:
    code, _, err = cli(*arguments)
    assert code == 2
    assert "Usage: fsat" in err


def test_help_and_status_import_nothing_heavy(store_root: Path, data_root: Path) -> None:
    heavy = ("torch", "transformers", "onnxruntime", "great_expectations", "pandas", "pyarrow", "sklearn", "numpy", "airflow")
    code = (
        "import sys; from fsat_tasks.cli.app import main\n"
        "for arguments in (['--help'], ['status', '--json']):\n"
        "    sys.argv = ['fsat', *arguments]\n"
        "    try: main()\n"
        "    except SystemExit: pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_package_and_installed_command_have_one_version_and_entry() -> None:
    from importlib.metadata import entry_points, version

    assert version("fsat") == __version__
    assert [point.value for point in entry_points(group="console_scripts", name="fsat")] == ["fsat_tasks.cli.app:main"]


def test_init_makes_a_task_that_validates(cli: Cli, data_root: Path, store_root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("body,queue\na cat,pets\na dog,pets\na plane,travel\na train,travel\n")
    code, out, _ = cli("init", "mine", "--samples", str(tmp_path / "mine.csv"), "--text", "body", "--label", "queue")
    assert code == 0
    assert str(data_root / "mine") in out
    assert "fsat run mine" in out
    assert cli("validate", "mine")[0] == 0
    assert cli("init", "mine", "--samples", str(tmp_path / "mine.csv"))[0] == 2


def test_status_shows_every_task_and_the_champions_files(
    demo_store: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    monkeypatch.setenv("FSAT_STORE", str(demo_store))
    monkeypatch.setenv("FSAT_DATA", str(repository / "data"))
    code, out, _ = cli("status", "--json")
    rows = {row["task"]: row for row in json.loads(out)}
    assert code == 0
    assert all(Path(path).is_file() for path in rows[TASK]["champion"]["paths"].values())
    assert rows[TASK]["last"]["version"] == 1
    code, out, _ = cli("status", TASK)
    assert code == 0
    assert TASK in out
    assert "v1" in out
    assert cli("status", "nowhere")[0] == 2


def test_status_without_tasks_is_an_empty_list(cli: Cli, data_root: Path, store_root: Path) -> None:
    assert cli("status", "--json")[:2] == (0, "[]\n")
    assert cli("status")[0] == 0
