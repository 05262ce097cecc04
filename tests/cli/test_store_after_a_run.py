"""The store after `fsat run`: an artefact a step, figures, a decision and a report."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from demo_run import STEPS, TASK, artefacts
from fsat_tasks.store import Store


def test_run_leaves_one_artefact_a_step_and_nothing_else(demo_store: Path) -> None:
    assert {name.split("-")[0] for name in artefacts(demo_store)} == {*STEPS, "pool", "encoder"}
    assert [path for path in demo_store.glob("*/*/.*") if path.is_dir()] == []
    assert sorted(path.name for path in (demo_store / "registry" / TASK).iterdir() if not path.name.startswith(".")) == [
        "champion.json",
        "history.jsonl",
    ]


def test_artefacts_hold_only_formats_that_cannot_run_code(demo_store: Path) -> None:
    suffixes = {path.suffix for path in demo_store.rglob("*") if path.is_file() and path.name != ".lock"}
    assert suffixes <= {".json", ".jsonl", ".parquet", ".npy", ".safetensors", ".onnx", ".csv", ".html", ".md"}


def test_manifests_name_their_parents_by_what_these_are(demo_store: Path) -> None:
    manifests = [json.loads(path.read_text()) for path in demo_store.glob("*/*/*/manifest.json")]
    references = {manifest["step"]: {name: manifest[name] for name in ("step", "key", "digest")} for manifest in manifests}
    for manifest in manifests:
        assert manifest["caller"] == "cli"
        for name, parent in manifest["parents"].items():
            assert {field: parent[field] for field in ("step", "key", "digest")} == references[name]
            assert Store(demo_store).find_named(parent) is not None  # with its own lineage
    assert {name: set(m["parents"]) for m in manifests if (name := m["step"]) in ("tune", "export")} == {
        "tune": {"validate", "extract"},
        "export": {"encoder", "validate", "tune", "evaluate"},
    }


def test_decision_is_that_of_its_gates_and_the_champion_points_to_it(demo_store: Path) -> None:
    (path,) = demo_store.glob("publish/*/*/decision.json")
    decision = json.loads(path.read_text())
    assert decision["promote"] is True
    assert {gate["gate"] for gate in decision["gates"]} >= {"accuracy", "macro_f1", "class_recall", "ece", "onnx_parity"}
    assert all(gate["promote"] for gate in decision["gates"])
    champion = json.loads((demo_store / "registry" / TASK / "champion.json").read_text())
    assert (champion["version"], champion["model"]) == (1, decision["model"])
    assert champion["decision"]["key"] == path.parent.name


def test_figures_are_those_of_the_predictions(demo_store: Path) -> None:
    import pyarrow.parquet as pq
    from sklearn.metrics import accuracy_score, f1_score

    (folder,) = demo_store.glob("evaluate/*/*")
    metrics = json.loads((folder / "metrics.json").read_text())
    rows = pq.read_table(folder / "predictions.parquet").to_pylist()
    truth, predicted = [row["label"] for row in rows], [row["predicted"] for row in rows]
    assert (metrics["rows"], metrics["evidence"]) == (420, "query")
    assert metrics["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert metrics["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]
    assert [row["line"] for row in rows] == list(range(1, 421))
    with (folder / "confusion.csv").open() as file:
        assert [(row["actual"], row["predicted"]) for row in csv.DictReader(file)] == list(zip(truth, predicted, strict=True))


def test_report_is_one_page_that_opens_offline(demo_store: Path) -> None:
    loaded: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            loaded.extend(value or "" for name, value in attributes if name in ("src", "href"))

    (path,) = demo_store.glob("publish/*/*/report.html")
    page = path.read_text()
    Links().feed(page)
    assert [link for link in loaded if not link.startswith(("#", "data:"))] == []
    assert "@import" not in page
    assert "url(http" not in page
    assert TASK in page
