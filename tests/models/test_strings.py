"""The champion as a graph that takes texts: it answers as the model does, or it is not written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

from fsat_tasks.models import string_graph
from fsat_tasks.models.served import ServedModel
from fsat_tasks.models.strings import HARD_TEXTS, StringModel
from fsat_tasks.registry.champion_files import champion_model
from json_result import result

Cli = Callable[..., tuple[int, str, str]]

TASK = "support-intents"


@pytest.fixture
def serving(demo_copy: Path, cli: Cli, tmp_path: Path) -> Path:
    """Folder in which `fsat export-strings` put the demo's graph."""
    code, out, _ = cli("export-strings", TASK, "--out", str(tmp_path / "serving"))
    assert (code, out.split("\n")[0]) == (0, f"{TASK}: {tmp_path / 'serving' / 'model-strings.onnx'}")
    return tmp_path / "serving"


def test_graph_answers_as_the_model_and_the_page_shows_how_to_serve_it(
    serving: Path, cli: Cli, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = ServedModel(champion_model(TASK).path).run(HARD_TEXTS)
    for found, answers in zip(StringModel(serving / "model-strings.onnx").run(HARD_TEXTS), expected, strict=True):
        np.testing.assert_allclose(found, answers, atol=1e-5)

    again = result(cli("export-strings", TASK, "--json")[1])
    assert (again["built"], again["rows"]) == (False, 100)
    assert json.loads((serving / "artefact.json").read_text())["digest"] == again["digest"]

    page = (repository / "docs" / "serving.md").read_text("utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (snippet,) = (one for one in snippets if "model-strings.onnx" in one)
    monkeypatch.chdir(serving.parent)
    exec(compile(snippet, "docs/serving.md", "exec"), {})
    said = [line.split() for line in capsys.readouterr().out.strip().split("\n")]
    assert [(said[0][0], said[0][2]), said[1][2]] == [("card_not_arrived", "True"), "False"]


def test_graph_that_answers_otherwise_is_not_written(demo_copy: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(string_graph, "_changed_characters", lambda tokenizer: {})
    code, _, err = cli("export-strings", TASK)
    assert code == 2
    assert "expected the answers of the model on token ids, got different token ids for " in err
    assert list(demo_copy.glob("strings/*/*")) == []


def test_missing_extra_is_said(demo_copy: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    code, _, err = cli("export-strings", TASK)
    assert (code, "pip install 'fsat[strings]'" in err) == (2, True)


def test_task_without_a_champion_is_said(store_root: Path, cli: Cli) -> None:
    code, _, err = cli("export-strings", TASK)
    assert (code, "fsat run support-intents" in err) == (2, True)
