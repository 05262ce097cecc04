"""The report and the model card of each target: they show what this kind of answer is measured by, and nothing else."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.word_encoder import draw_text, write_word_encoder
from browser import Tab
from fsat_tasks.models.served import ServedModel
from fsat_tasks.report.by_target import VIEWS
from fsat_tasks.report.mistakes import class_figures, grade_confusions, label_mistakes
from fsat_tasks.report.number_plots import interval_rows, scatter_plot
from fsat_tasks.report.snippet import call_snippet
from fsat_tasks.report.suspects import several_label_errors
from fsat_tasks.report.words import WORDS
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.store import Artefact, Store
from fsat_tasks.targets.registered import TARGETS
from fsat_tasks.targets.several_labels import SeveralLabelsTarget
from fsat_tasks.targets.target import Rule
from fsat_tasks.tasks.task import load_task

KINDS = {"1": ["bad"], "2": ["bad", "good"], "3": ["good"]}
WITH_CLASSES = ["suspects", "accuracy", "gates", "classes", "confusions", "calibration", "selective", "map", "ladder", "labels"]
OTHERS = ["data", "variants", "robustness", "use", "run"]
SECTIONS = {
    "one_label": WITH_CLASSES,
    "several_labels": WITH_CLASSES,
    "grade": WITH_CLASSES[:-1],  # it uses no pool
    "number": ["accuracy", "gates", "numbers", "intervals", "map", "ladder"],
}
FIGURES = {
    "one_label": ["right labels", "every class alike", "probabilities off by"],
    "several_labels": ["labels together", "every label alike", "all labels right", "probabilities off by"],
    "grade": ["off by, on average", "right grades", "order kept", "probabilities off by"],
    "number": ["off by, on average", "within", "order kept", "90 % intervals that hold"],
}
CARD = {
    "one_label": ["2 classes", "right labels", "every class counted alike (macro-F1)", "## Classes"],
    "several_labels": ["2 labels", "micro-F1", "`thresholds` in `config.json`", "## Labels"],
    "grade": ["3 grades", "mean absolute error", "median grade", "## Grades"],
    "number": ["It was tuned by fsat", "mean absolute error", "`numbers`", "`set_thresholds`"],
}
parts = SeveralLabelsTarget().parts


def label_of(target: str, stars: str) -> object:
    names = [{"bad": "dark", "good": "light"}[kind] for kind in KINDS[stars]]
    return {"one_label": names[0], "several_labels": names, "grade": stars, "number": 10.5 * float(stars)}[target]


def write_rows(path: Path, target: str, rows: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    stars = [str(1 + i % 3) for i in range(rows)]
    lines = [json.dumps({"text": draw_text(KINDS[star], rng), "label": label_of(target, star)}) for star in stars]
    path.write_text("\n".join(lines), "utf-8")
    return path.name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Artefact]]:
    """Target -> the artefacts of a run of a small task of this target."""
    root = tmp_path_factory.mktemp("targets")
    write_word_encoder(root / "encoders" / "words")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSAT_ENCODERS", str(root / "encoders"))
        patch.setenv("FSAT_DATA", str(root / "data"))
        for target in TARGETS:
            folder = root / "data" / target
            folder.mkdir(parents=True)
            files = {"samples": (18, 1), "query": (40, 2), "unlabelled": (20, 3)}
            keys = {key: write_rows(folder / f"{key}.jsonl", target, *size) for key, size in files.items()}
            if target in ("grade", "number"):
                del keys["unlabelled"]
            spec = {"target": target, "encoder": {"name": "words"}, "device": "cpu", "tune": {"body": "off"}, **keys}
            (folder / "task.yaml").write_text(json.dumps(spec), "utf-8")
            found[target] = run_steps(load_task(target, dry_run=True), store=Store(root / "store"))
    return found


def report(artefacts: dict[str, Artefact]) -> Path:
    return artefacts["publish"].path / "report.html"


def test_every_target_has_its_view_and_its_words() -> None:
    assert set(VIEWS) == set(WORDS) == set(TARGETS) == set(SECTIONS)


@pytest.mark.parametrize("target", TARGETS)
def test_page_has_the_sections_and_figures_of_its_target(target: str, made: dict[str, dict[str, Artefact]]) -> None:
    page = report(made[target]).read_text("utf-8").replace("\xa0", " ")
    assert re.findall(r'<section id="(\w+)"', page) == [*SECTIONS[target], *OTHERS]
    assert re.findall(r'<li><a href="#(\w+)"', page) == [*SECTIONS[target], *OTHERS]
    titles = re.findall("<dt>(.*?)</dt>", page.split("</header>")[0])
    assert len(titles) == len(FIGURES[target]) + 2  # own texts recognised, measured on
    assert all(title.startswith(start) for title, start in zip(titles, FIGURES[target], strict=False))
    assert f"The share of {WORDS[target].right} among 40" in page
    assert "Every set of labels is full" not in page


@pytest.mark.parametrize("target", TARGETS)
def test_card_says_how_an_answer_is_read(target: str, made: dict[str, dict[str, Artefact]]) -> None:
    card = (made[target]["export"].path / "README.md").read_text("utf-8")
    assert all(words in card for words in CARD[target])
    assert ("## Classes" in card) == (target == "one_label")


@pytest.mark.parametrize("target", TARGETS)
def test_program_on_the_page_answers_as_the_model_does(target: str, made: dict[str, dict[str, Artefact]]) -> None:
    (program,) = re.findall(r"<pre.*?><code.*?>(.*?)</code></pre>", report(made[target]).read_text("utf-8"), re.DOTALL)
    printed = subprocess.run(
        [sys.executable, "-I", "-c", html.unescape(program)], capture_output=True, check=True, text=True, encoding="utf-8"
    ).stdout.splitlines()
    model = ServedModel(made[target]["export"].path)
    texts = ["a text", "another text"]
    outputs, scope = model.run(texts)
    for line, text, answer, score in zip(printed, texts, model.target.decide(outputs, model.rule), scope, strict=True):
        assert line.startswith(text)
        shown = str(round(float(answer), 4)) if target == "number" else answer
        assert all(part in line for part in model.target.parts(shown))
        assert line.endswith("(not like the texts of this task)") == bool(score < model.scope_threshold)


def test_serving_page_has_the_program(repository: Path) -> None:
    assert call_snippet("serving", "one_label") in (repository / "docs" / "serving.md").read_text("utf-8")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("target", TARGETS)
def test_page_fits_its_screen_and_names_its_plots(
    target: str, width: int, made: dict[str, dict[str, Artefact]], tab: Tab
) -> None:
    tab.open(report(made[target]), width)
    assert tab.ask("document.documentElement.scrollWidth") == width
    names = tab.ask('[...document.querySelectorAll("svg[role=img]")].map(svg => svg.ariaLabel.split(":")[0])')
    assert ("Predicted against true numbers" in names) == (target == "number")
    assert tab.complaints() == []


def rows_of(*pairs: tuple[str, str]) -> list[dict[str, object]]:
    return [
        {"line": i, "text": f"text {i}", "label": label, "predicted": guess, "probability": 0.9 - i / 100}
        for i, (label, guess) in enumerate(pairs, 1)
    ]


def test_each_label_of_a_row_counts_for_its_class() -> None:
    figures = {row["label"]: row for row in class_figures(rows_of(("a|b", "a"), ("a", "a|b")), Counter(a=5, b=2), parts)}
    assert (figures["a"]["rows"], figures["a"]["recall"], figures["a"]["precision"], figures["a"]["f1"]) == (2, 1.0, 1.0, 1.0)
    assert (figures["b"]["rows"], figures["b"]["recall"], figures["b"]["precision"], figures["b"]["shots"]) == (1, 0.0, 0.0, 2)


def test_missed_labels_and_wrong_ones_are_told_apart() -> None:
    pairs = label_mistakes(rows_of(("a|b", "a"), ("b", ""), ("a", "a|c"), ("a", "a")), parts)["pairs"]
    assert [(pair["label"], pair["predicted"], pair["rows"]) for pair in pairs] == [("b", "missed", 2), ("c", "given wrongly", 1)]
    assert [example["note"] for example in pairs[0]["examples"]] == ["given a", "given no label"]
    assert pairs[1]["examples"][0]["note"] == "is a"


def test_far_grades_cost_more_than_many_near_ones() -> None:
    pairs = grade_confusions(rows_of(("1", "2"), ("1", "2"), ("10", "1"), ("2", "2")), ["1", "2", "5", "10"])["pairs"]
    assert [(pair["label"], pair["predicted"], pair["rows"], pair["steps"]) for pair in pairs] == [
        ("10", "1", 1, 3),
        ("1", "2", 2, 2),
    ]


def test_a_missing_label_and_a_wrong_one_are_suspected() -> None:
    sure = {"a": [0.99, 0.01], "b": [0.01, 0.99], "a|b": [0.97, 0.97]}
    samples = [{"line": i, "label": label, "outputs": np.array(sure[label])} for i, label in enumerate(["a", "b", "a|b"] * 4)]
    samples += [{"line": 90, "label": "a", "outputs": np.array(sure["a|b"])}]
    samples += [{"line": 91, "label": "a|b", "outputs": np.array([0.99, 0.01])}]
    found = several_label_errors(samples, ["a", "b"], parts)
    assert (found["count"], found["of"]) == (2, 14)
    assert {(row["line"], row["label"], row["likelier"]) for row in found["rows"]} == {
        (90, "a", "also b"),
        (91, "a, b", "without b"),
    }


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e6])
def test_scatter_has_every_point_in_its_frame_whatever_the_unit(scale: float) -> None:
    rows = rows_of((repr(scale), repr(1.1 * scale)), (repr(2 * scale), repr(5 * scale)))
    plot = scatter_plot(rows, Rule([], {"0.9": 0.5 * scale}, tolerance=0.2 * scale))
    frame = plot["frame"]
    assert all(frame.left <= p["x"] <= frame.right and frame.top <= p["y"] <= frame.bottom for p in plot["points"])
    assert len({(p["x"], p["y"]) for p in plot["points"]}) == 2
    assert [p["right"] for p in plot["points"]] == [True, False]
    assert (plot["inside"], plot["band_name"]) == (1, "the 90 % interval")


def test_an_interval_without_limits_is_said_to_have_none() -> None:
    rule = Rule([], {"0.8": 2.0, "0.9": float("inf")}, tolerance=1.0)
    low, unlimited = interval_rows({"rows": 50, "intervals": {"0.8": 0.76, "0.9": 1.0}}, rule)
    assert (low["half"], unlimited["half"]) == (2.0, None)
    assert low["low"] < 0.76 < low["high"]
    plot = scatter_plot(rows_of(("1", "2"), ("5", "3")), rule)
    assert (plot["half"], plot["band_name"]) == (1.0, "the tolerance")
