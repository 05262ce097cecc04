"""Pages of `dvc plots show` that need no internet."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from browser import Tab

KEPT = ("dvc.yaml", "params.yaml", ".dvc", "docs/offline_plots.py")
EVALUATE = "outputs/support-intents/evaluate"


@pytest.fixture
def page(demo_store: Path, repository: Path, tmp_path: Path) -> Path:
    """The page of the demo's plots in a repository in which `make plots` was called."""
    names = subprocess.run(["git", "ls-files", *KEPT], cwd=repository, capture_output=True, check=True, text=True).stdout
    for name in names.splitlines():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(repository / name, tmp_path / name)
    (artefact,) = demo_store.glob("evaluate/*/*/")
    shutil.copytree(artefact, tmp_path / EVALUATE)
    dvc = str(Path(sys.executable).with_name("dvc"))
    for command in (["git", "init", "--quiet"], [sys.executable, "docs/offline_plots.py"], [dvc, "plots", "show"]):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    return tmp_path / "dvc_plots" / "index.html"


def test_page_of_plots_draws_and_loads_nothing(page: Path, tab: Tab) -> None:
    tab.events.clear()
    tab.open(page)
    tab.wait("document.querySelectorAll('svg.marks').length == 3")
    asked = [event["params"]["request"]["url"] for event in tab.events if event["method"] == "Network.requestWillBeSent"]
    assert [address for address in asked if not address.startswith(("file:", "data:", "blob:"))] == []
