"""The whole path, from validate to watch, with rows that are no texts. Nothing above the seam knows of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsat_tasks.data.append import add_samples
from fsat_tasks.errors import DataError, InputError
from fsat_tasks.registry import challenge
from fsat_tasks.registry.champion_files import champion_model
from fsat_tasks.runs.run import Run
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import load_task
from fsat_tasks.traffic.labelling import Labeller
from fsat_tasks.traffic.predictions import predict, predict_file
from fsat_tasks.traffic.watch import watch_traffic
from inputs.vectors import COLUMNS, DIM, LAYERS, NUMBERS, Vectors, draw_rows, plug_in, write_encoder

GATES = {"min_accuracy": 0.1, "min_macro_f1": 0.1, "min_class_recall": 0.0, "max_ece": 1.0, "min_coverage": 0.0, "max_drop": 1.0}


def write_jsonl(path: Path, rows: list[tuple[dict[str, float], str]], labelled: bool = True) -> None:
    lines = [json.dumps({**record, **({"label": label} if labelled else {})}) for record, label in rows]
    path.write_text("\n".join(lines) + "\n")


def write_csv(path: Path, rows: list[tuple[dict[str, float], str]]) -> Path:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(record.values() for record, _ in rows)
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a data root, a store and an encoder of vectors, and the task `points`."""
    root = tmp_path_factory.mktemp("vectors")
    folder = root / "data" / "points"
    folder.mkdir(parents=True)
    write_encoder(root / "encoders" / "tiny")
    write_jsonl(folder / "samples.jsonl", draw_rows(24, 1))
    write_jsonl(folder / "query.jsonl", draw_rows(30, 2))
    write_jsonl(folder / "pool.jsonl", draw_rows(60, 3), labelled=False)
    write_jsonl(folder / "outside.jsonl", draw_rows(9, 4, spread=30.0), labelled=False)
    files = {"samples": "samples.jsonl", "query": "query.jsonl", "unlabelled": "pool.jsonl", "out_of_scope": "outside.jsonl"}
    keys: dict[str, Any] = {"inputs": "vector", "encoder": {"name": "tiny"}, "device": "cpu", "gates": GATES, **files}
    (folder / "task.yaml").write_text(json.dumps(keys))
    with pytest.MonkeyPatch.context() as patch:
        for name, part in (("DATA", "data"), ("STORE", "store"), ("ENCODERS", "encoders")):
            patch.setenv(f"FSAT_{name}", str(root / part))
        plug_in(patch)
        yield root


@pytest.fixture(scope="module")
def store(world: Path) -> Store:
    return Store(world / "store")


@pytest.fixture(scope="module")
def run(world: Path, store: Store) -> Run:
    """The run of all steps."""
    task = load_task("points")
    return Run(task, store, run_steps(task, store=store))


def test_all_steps_run_and_the_model_is_promoted(run: Run) -> None:
    metrics = run.evaluated.json("metrics.json")
    assert metrics["accuracy"] > 0.9
    assert [kind["kind"] for kind in metrics["robustness"]["kinds"]] == ["noise"]
    assert run.artefacts["publish"].json("decision.json")["promote"]
    config = run.exported.json("config.json")
    assert (config["inputs"], config["labels"]) == ("vector", ["x", "y", "z"])
    assert "scale.json" in run.exported.manifest["files"]
    assert run.extracted.json("features.json")["shape"] == [24 + 30 + 9 + 60, LAYERS, DIM]


def test_class_anchors_are_zeros(run: Run) -> None:
    assert run.tables.classes.labels == ["x", "y", "z"]
    assert run.anchors().shape == (3, LAYERS, DIM)
    assert not run.anchors().any()


def test_encoder_was_fine_tuned_on_folds_and_with_the_pool(run: Run) -> None:
    tried = {rung["name"]: rung for rung in run.tuned.json("ladder.json")}
    assert all(tried[name]["log_loss"] is not None for name in ("prototypes", "probe", "pool"))
    assert any(tried[name]["log_loss"] is not None for name in ("body", "self-training"))


def test_second_run_makes_nothing(run: Run, store: Store) -> None:
    assert not any(artefact.built for artefact in run_steps(load_task("points"), store=store).values())


def test_report_shows_rows_in_their_notation(run: Run) -> None:
    page = (run.artefacts["publish"].path / "report.html").read_text("utf-8")
    assert run.tables.query.inputs[0] in page


def test_champion_of_another_modality_is_not_asked_about_new_rows(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = challenge._Answers({}, {})
    monkeypatch.setattr(challenge, "_answers_in_evaluation", lambda *_: nothing)  # all query rows are new to the champion
    opponent = {"version": 1, "model": run.exported.reference()}
    assert challenge.compare_with_champion(run, opponent) is not None
    texts = replace(run.task, spec=run.task.spec.model_copy(update={"inputs": "text"}))
    assert challenge.compare_with_champion(Run(texts, store, run.artefacts), opponent) is None


def test_predict_reads_lines_and_files(run: Run, store: Store, tmp_path: Path) -> None:
    rows = draw_rows(12, 7)
    lines = [" ".join(map(str, record.values())) for record, _ in rows]
    by_line = list(predict("points", lines, store))
    assert np.mean([answer["label"] == label for answer, (_, label) in zip(by_line, rows, strict=True)]) > 0.9
    assert list(predict_file("points", write_csv(tmp_path / "new.csv", rows), store=store)[1]) == by_line
    with pytest.raises(DataError, match=f"row 1: expected {NUMBERS} numbers, got 2"):
        list(predict("points", ["1 2"], store))


def test_apply_labels_a_file_and_its_review_can_be_added(run: Run, store: Store, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "new.csv", [*draw_rows(12, 8), *draw_rows(12, 9, spread=20.0)])
    task = load_task("points")
    result = Labeller(task, store, champion_model("points", store)).label(file)
    assert result.json("summary.json")["rows"] == 24
    with (result.path / "review.csv").open(encoding="utf-8-sig", newline="") as review:
        doubts = list(csv.DictReader(review))
    assert tuple(doubts[0])[:NUMBERS] == COLUMNS
    for doubt in doubts:
        doubt["label"] = "x"
    with (tmp_path / "labelled.csv").open("w", newline="") as labelled:
        table = csv.DictWriter(labelled, list(doubts[0]))
        table.writeheader()
        table.writerows(doubts)
    samples = task.folder / "samples.jsonl"
    before = samples.read_bytes()
    try:
        assert add_samples(task, tmp_path / "labelled.csv")["added"] == len(doubts)
        added = json.loads(samples.read_text().splitlines()[-1])
        assert set(added) == {*COLUMNS, "label"}
    finally:
        samples.write_bytes(before)


@pytest.mark.parametrize(("shift", "drift"), [(0.0, False), (5.0, True)])
def test_watch_tells_other_vectors_from_those_of_the_pool(
    shift: float, drift: bool, run: Run, store: Store, tmp_path: Path
) -> None:
    rows = [({name: x + shift for name, x in record.items()}, label) for record, label in draw_rows(60, 11)]
    found = watch_traffic(load_task("points"), store, write_csv(tmp_path / "traffic.csv", rows)).json("drift.json")
    assert found["drift"] is drift


def test_int8_and_adapters_work_on_another_network(world: Path, store: Store) -> None:
    for overrides, step in (
        ({"encoder": {"name": "tiny", "precision": "int8"}}, "extract"),
        ({"tune": {"body": "lora"}}, "tune"),
    ):
        task = load_task("points")
        changed = task.spec.model_validate({**task.spec.model_dump(exclude_unset=True), **overrides})
        made: dict[str, Artefact] = run_steps(type(task)(task.name, task.folder, changed), step, store=store)
        assert made[step].built


@pytest.mark.parametrize("reads_words", [True, False])
def test_anchors_need_an_encoder_that_reads_words(
    reads_words: bool, world: Path, make_vector_task: Callable[..., str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchors = {label: " ".join(str(float(i + 1)) for _ in range(NUMBERS)) for i, label in enumerate("xyz")}
    monkeypatch.setattr(Vectors, "anchor", lambda _, words: anchors[words])
    write_encoder(world / "encoders" / f"words-{reads_words}", scale=3.0 + reads_words, reads_words=reads_words)
    name = make_vector_task("", encoder={"name": f"words-{reads_words}"})
    write_jsonl(world / "data" / name / "samples.jsonl", draw_rows(24, 1))
    task = load_task(name)
    run = Run(task, store, run_steps(task, "extract", store=store))
    assert run.anchors().any() == reads_words
    assert run.extracted.json("features.json")["shape"][0] == (27 if reads_words else 24)


def test_bad_cell_is_named_with_its_file_line_and_column(world: Path, make_vector_task: Callable[[str], str]) -> None:
    name = make_vector_task('{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": "six", "label": "x"}\n')
    with pytest.raises(DataError, match=r"samples\.jsonl, line 1, column 'f': expected a number, got 'six'"):
        run_steps(load_task(name), "validate")


def test_text_file_has_no_room_for_six_columns(run: Run, store: Store, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("1 2 3 4 5 6\n")
    with pytest.raises(DataError, match=r"expected the columns 'a', .*, got a \.txt file, which has one column"):
        Labeller(load_task("points"), store, champion_model("points", store)).label(tmp_path / "new.txt")


def test_encoder_of_another_modality_is_refused(world: Path, make_vector_task: Callable[..., str]) -> None:
    name = make_vector_task("{}\n", encoder={"name": "all-MiniLM-L6-v2"})
    with pytest.raises(InputError, match="expected an encoder of vectors"):
        run_steps(load_task(name), "extract")


@pytest.fixture
def make_vector_task(world: Path) -> Iterator[Callable[..., str]]:
    """Write a task folder: make(content of samples.jsonl, **keys) -> its name."""
    made: list[Path] = []

    def make(samples: str, **keys: Any) -> str:
        folder = world / "data" / f"other-{len(list((world / 'data').iterdir()))}"
        folder.mkdir()
        made.append(folder)
        (folder / "samples.jsonl").write_text(samples)
        values = {"inputs": "vector", "encoder": {"name": "tiny"}, "samples": "samples.jsonl", **keys}
        (folder / "task.yaml").write_text(json.dumps(values))
        return folder.name

    yield make
