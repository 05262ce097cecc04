"""The verbs path and open lead to a model's files, of the champion or of any model of the history."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from pathlib import Path

import pytest

from fsat_tasks.registry.registry import Registry
from promoted_models import TASK, record, registry_of
from task_folder import write_task

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def models(store_root: Path, data_root: Path) -> Registry:
    """A registry with version 1, version 2 and a held model; FSAT_STORE names its store."""
    registry = registry_of(store_root, 1, 2)
    record(store_root, 3, promote=False)
    return registry


def folders(registry: Registry, what: str) -> list[str]:
    return [str(registry.store.folder(entry[what]["step"], entry[what]["key"])) for entry in registry.history()]


def test_path_is_the_champions_folder_or_that_of_another_model(models: Registry, cli: Cli) -> None:
    first, champion, held = folders(models, "model")
    assert cli("path", TASK) == (0, f"{champion}\n", "")
    assert cli("path", TASK, "1")[1] == f"{first}\n"
    assert cli("path", TASK, "latest")[1] == f"{held}\n"
    assert cli("path", TASK, "--report")[1] == f"{folders(models, 'decision')[1]}/report.html\n"


def test_open_shows_the_newest_report_and_prints_its_path(models: Registry, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def browse(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr(webbrowser, "open", browse)
    report = f"{folders(models, 'decision')[2]}/report.html"
    assert cli("open", TASK) == (0, f"{report}\n", "")
    assert opened == [f"file://{report}"]


def test_path_without_a_browser_is_printed(models: Registry, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: str) -> bool:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "open", none)
    assert cli("open", TASK, "1") == (0, f"{folders(models, 'decision')[0]}/report.html\n", "")


def test_altered_model_has_no_path(models: Registry, cli: Cli) -> None:
    Path(folders(models, "model")[1], "model.onnx").write_text("altered")
    code, out, err = cli("path", TASK)
    assert (code, out) == (2, "")
    assert f"fsat run {TASK} makes it again if the data and task.yaml are still those it was made from" in err


def test_task_without_a_champion_has_no_path(store_root: Path, data_root: Path, cli: Cli) -> None:
    write_task(data_root / "new", [("a", "x"), ("b", "y")])
    for arguments in (["path", "new"], ["path", "new", "--report"], ["open", "new"]):
        code, out, err = cli(*arguments)
        assert (code, out, "fsat run new" in err) == (2, "", True)
