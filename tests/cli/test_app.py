"""The command itself: help, usage, what it imports; and its verbs init and status."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from demo_run import TASK
from fsat_tasks import __version__
from fsat_tasks.cli.app import app
from json_result import result
from promoted_models import registry_of

Cli = Callable[..., tuple[int, str, str]]


VERBS = sorted({*typer.main.get_command(app).commands} - {"airflow"})  # type: ignore[attr-defined]  # the app is a group


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("airflow", "-h"), ("run", "--help"), ("predict", "-h")])
def test_help_ends_with_code_0(arguments: tuple[str, ...], cli: Cli) -> None:
    code, out, err = cli(*arguments)
    assert (code, err) == (0, "")
    assert "Usage: fsat" in out


@pytest.mark.parametrize("verb", [*VERBS, "airflow up"])
def test_help_names_no_type_of_python_and_fits_80_columns(verb: str, cli: Cli) -> None:
    code, out, _ = cli(*verb.split(), "-h")
    assert (code, out.startswith(f"Usage: fsat {verb} [OPTIONS]")) == (0, True)
    assert not re.search("<|list\\[|Path", out)
    assert max(map(len, out.splitlines())) <= 80


def test_usage_shows_what_may_be_left_out_and_repeated(cli: Cli) -> None:
    usages = [cli(verb, "-h")[1].splitlines()[0] for verb in ("run", "diff", "predict")]
    assert usages == [
        "Usage: fsat run [OPTIONS] [TASK]...",
        "Usage: fsat diff [OPTIONS] TASK BEFORE [AFTER]",
        "Usage: fsat predict [OPTIONS] TASK [TEXT]",
    ]


def completed(words: str, data: Path, store: Path) -> list[str]:
    """Return what bash offers for the last word."""
    shell = {"_FSAT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    places = {"FSAT_DATA": str(data), "FSAT_STORE": str(store)}
    done = subprocess.run(
        [sys.executable, "-m", "fsat_tasks.cli"], env=os.environ | shell | places, capture_output=True, text=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("fsat stat", "status"),
        ("fsat status sup", TASK),
        ("fsat run --app", "--approve"),
        ("fsat init x --target se", "several_labels"),
    ],
)
def test_shell_completes_verbs_tasks_and_options(words: str, offered: str, repository: Path, tmp_path: Path) -> None:
    assert completed(words, repository / "data", tmp_path) == [offered]


@pytest.mark.parametrize("words", ["promote task", "diff task", "diff task 1", "path task", "open task", "rollback task --to"])
def test_shell_completes_versions(words: str, tmp_path: Path) -> None:
    registry_of(tmp_path / "store", 1, 2)
    offered = completed(f"fsat {words} ", tmp_path, tmp_path / "store")
    assert offered == (["2", "1"] if "--to" in words else ["latest", "2", "1"])


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("run",), ("run", TASK, "--shots", "0"), ("run", TASK, "--device", "tpu"), ("run", TASK, "--nonsense")],
)
def test_wrong_usage_ends_with_code_2(arguments: tuple[str, ...], cli: Cli) -> None:
    code, _, err = cli(*arguments)
    assert code == 2
    assert "Usage: fsat" in err


@pytest.mark.parametrize(("word", "verb"), [("compare", "diff"), ("undo", "rollback"), ("statsu", "status")])
def test_word_near_to_a_verb_is_answered_with_the_verb(word: str, verb: str, cli: Cli) -> None:
    code, _, err = cli(word, TASK)
    assert (code, f"No such command '{word}'. Did you mean '{verb}'?" in err) == (2, True)


def test_version_is_shown(cli: Cli) -> None:
    assert cli("--version") == (0, f"fsat {__version__}\n", "")


@pytest.mark.parametrize("verb", [("run", TASK), ("apply", TASK, "x.csv"), ("checkout", TASK, "1"), ("export-strings", TASK)])
@pytest.mark.parametrize("root", ["/", "/tmp/.."])
def test_root_folder_is_no_place_for_a_copy(verb: tuple[str, ...], root: str, cli: Cli, store_root: Path) -> None:
    code, out, err = cli(*verb, "--out", root)
    assert (code, out) == (2, "")
    assert err == f"fsat: --out: expected a folder, got '{root}', the root of all folders. Name a folder below it.\n"
    assert not store_root.exists()


def test_checkout_without_a_version_says_what_to_give(cli: Cli) -> None:
    message = f"fsat: VERSION: expected the number of a published version, got none. To see all of them: fsat history {TASK}\n"
    assert cli("checkout", TASK) == (2, "", message)


@pytest.mark.parametrize("verb", [("init", "mine", "--samples"), ("add", TASK)])
def test_missing_file_is_called_missing(
    verb: tuple[str, ...], cli: Cli, store_root: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSAT_DATA", str(repository / "data"))
    code, out, err = cli(*verb, "nowhere.csv")
    assert (code, out) == (2, "")
    assert err.endswith(": expected a file or a folder, got 'nowhere.csv', which is not there.\n")


def test_warnings_of_init_and_add_are_on_standard_error(cli: Cli, data_root: Path, store_root: Path, tmp_path: Path) -> None:
    samples = tmp_path / "mine.csv"
    samples.write_text("text,label\na cat,pets\na goat,pets\na dog,Pets\na cow,Pets\na plane,travel\na train,travel\n")
    code, out, err = cli("init", "mine", "--samples", str(samples))
    assert (code, out.startswith("mine: what came in")) == (0, True)
    assert err == f"warning: {samples}: labels 'Pets' (lines 4, 5) and 'pets' differ by case alone (write them the same)\n"
    (tmp_path / "more.csv").write_text("text,label\na bus,Travel\n")
    code, _, err = cli("add", "mine", str(tmp_path / "more.csv"), "--new-label", "Travel")
    assert code == 0
    assert err.endswith(": labels 'Travel' and 'travel' differ by case alone (write them the same)\n")


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


def test_init_names_no_columns_of_a_file_without_any(cli: Cli, data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("body,queue\na cat,pets\na dog,pets\na plane,travel\na train,travel\n")
    (tmp_path / "inbox.txt").write_text("a bus\na goat\n")
    code, out, _ = cli("init", "mine", "--samples", str(tmp_path / "mine.csv"), "--unlabelled", str(tmp_path / "inbox.txt"))
    assert code == 0
    assert "samples: CSV; text from 'body', label from 'queue'\nunlabelled: a text a line\n" in out


def test_status_shows_every_task_and_the_champions_files(
    demo_store: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    monkeypatch.setenv("FSAT_STORE", str(demo_store))
    monkeypatch.setenv("FSAT_DATA", str(repository / "data"))
    code, out, _ = cli("status", "--json")
    rows = {row["task"]: row for row in result(out)["tasks"]}
    assert code == 0
    assert all(Path(path).is_file() for path in rows[TASK]["champion"]["paths"].values())
    assert rows[TASK]["last"]["version"] == 1
    code, out, _ = cli("status", TASK)
    assert code == 0
    assert TASK in out
    assert "v1" in out
    assert cli("status", "nowhere")[0] == 2


def test_status_without_tasks_is_an_empty_list(cli: Cli, data_root: Path, store_root: Path) -> None:
    assert result(cli("status", "--json")[1]) == {"tasks": []}
    assert cli("status")[0] == 0
