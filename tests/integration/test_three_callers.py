"""Every target, and rows that are no texts, through the command line, DVC and the DAG: the artefacts are the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.word_encoder import draw_text, write_word_encoder
from fsat_tasks.targets.registered import TARGETS
from inputs.vectors import draw_rows
from inputs.vectors import write_encoder as write_vector_encoder
from json_result import result

ROOT = Path(__file__).parents[2]
STEPS = ("validate", "extract", "tune", "evaluate", "export", "publish")
GATES = {
    "min_accuracy": 0.0,
    "min_micro_f1": 0.0,
    "min_macro_f1": 0.0,
    "min_class_recall": 0.0,
    "max_error_ratio": 10.0,
    "max_ece": 1.0,
    "min_coverage": 0.0,
    "max_drop": 1.0,
}
PLACES = ("sea", "wood", "town")

Record = dict[str, Any]
Made = tuple[str, str, str]
"""Step, key and digest of an artefact."""


@dataclass(frozen=True)
class World:
    """A repository with a task of each kind, the variables of its environment, and a store for each caller."""

    folder: Path
    environment: dict[str, str]

    def made(self, store: str) -> set[Made]:
        """Return the steps' artefacts in a store."""
        manifests = (
            json.loads(path.read_text()) for step in STEPS for path in (self.folder / store).glob(f"{step}/*/*/manifest.json")
        )
        return {(one["step"], one["key"], one["digest"]) for one in manifests}


def one_place(rng: np.random.Generator) -> Record:
    place = str(rng.choice(PLACES))
    return {"text": draw_text([place], rng), "label": place}


def some_places(rng: np.random.Generator) -> Record:
    places = [str(place) for place in rng.choice(PLACES, int(rng.integers(1, 3)), replace=False)]
    return {"text": draw_text(places, rng), "label": places}


def stars(rng: np.random.Generator) -> Record:
    count = int(rng.integers(1, 4))
    return {"text": draw_text([["bad"], ["bad", "good"], ["good"]][count - 1], rng), "label": count}


def score(rng: np.random.Generator) -> Record:
    record = stars(rng)
    return {**record, "label": 10.0 * record["label"] + float(rng.normal())}


RECORDS = {"one_label": one_place, "several_labels": some_places, "grade": stars, "number": score}
TASKS = (*RECORDS, "vectors")


def write_lines(path: Path, records: list[Record]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path.name


def write_files(folder: Path, target: str) -> Record:
    """Write the files of a task, and return the keys of task.yaml that name them."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(list(RECORDS).index(target))
    draw = RECORDS[target]
    files = {"samples": [draw(rng) for _ in range(24)], "query": [draw(rng) for _ in range(20)]}
    pool = [{"text": draw(rng)["text"]} for _ in range(30)]
    return {name: write_lines(folder / f"{name}.jsonl", rows) for name, rows in {**files, "unlabelled": pool}.items()}


def write_vectors(folder: Path) -> Record:
    folder.mkdir(parents=True)
    rows = {"samples": draw_rows(24, 1), "query": draw_rows(30, 2)}
    return {
        name: write_lines(folder / f"{name}.jsonl", [{**record, "label": label} for record, label in part])
        for name, part in rows.items()
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("callers")
    write_word_encoder(folder / "encoders" / "words")
    write_vector_encoder(folder / "encoders" / "tiny")
    common: Record = {"device": "cpu", "gates": GATES, "tune": {"budget_seconds": 5}}
    for target in RECORDS:
        keys = {"target": target, "encoder": {"name": "words"}, **common, **write_files(folder / "data" / target, target)}
        (folder / "data" / target / "task.yaml").write_text(json.dumps(keys))
    keys = {"inputs": "vector", "encoder": {"name": "tiny"}, **common, **write_vectors(folder / "data" / "vectors")}
    (folder / "data" / "vectors" / "task.yaml").write_text(json.dumps(keys))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FSAT_", "AIRFLOW", "DVC_"))}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT / "tests" / "inputs" / "site", ROOT / "tests", ROOT)))
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment |= {"FSAT_ENCODERS": str(folder / "encoders"), "FSAT_DATA": str(folder / "data")}
    yield World(folder, environment)


def call(world: World, *command: str, store: str) -> str:
    done = subprocess.run(
        command,
        cwd=world.folder,
        env=world.environment | {"FSAT_STORE": str(world.folder / store)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def by_hand(world: World) -> dict[str, set[Made]]:
    """Task -> the artefacts of `fsat run`."""
    outcomes = result(call(world, "fsat", "run", *TASKS, "--json", store="by-hand"))["tasks"]
    return {one["task"]: {(step, made["key"], made["digest"]) for step, made in one["steps"].items()} for one in outcomes}


def test_each_kind_of_answer_is_tried() -> None:
    assert set(RECORDS) == set(TARGETS)


def test_the_command_line_makes_six_artefacts_of_each_task(world: World, by_hand: dict[str, set[Made]]) -> None:
    assert [{step for step, _, _ in by_hand[task]} for task in TASKS] == [set(STEPS)] * len(TASKS)
    assert world.made("by-hand") == set.union(*by_hand.values())
    assert len(world.made("by-hand")) == len(STEPS) * len(TASKS)


@pytest.fixture(scope="module")
def repository(world: World) -> World:
    """The folder as a repository of Git and DVC, with the project's stages."""
    shutil.copyfile(ROOT / "dvc.yaml", world.folder / "dvc.yaml")
    (world.folder / "params.yaml").write_text(json.dumps({"tasks": list(TASKS), "run": {"device": "cpu"}}))
    (world.folder / "fsat_tasks" / "store").mkdir(parents=True)
    shutil.copyfile(ROOT / "fsat_tasks/store/versions.py", world.folder / "fsat_tasks/store/versions.py")
    call(world, "git", "init", "--quiet", store="by-dvc")
    call(world, "dvc", "init", "--quiet", store="by-dvc")
    return world


@pytest.mark.parametrize("task", TASKS)
def test_dvc_makes_the_same_artefacts(task: str, repository: World, by_hand: dict[str, set[Made]]) -> None:
    before = repository.made("by-dvc")
    call(repository, "dvc", "repro", "--quiet", f"publish@{task}", store="by-dvc")
    assert repository.made("by-dvc") - before == by_hand[task]


def test_the_dag_makes_the_same_artefacts(world: World, by_hand: dict[str, set[Made]]) -> None:
    answer, dags = world.folder / "answer.json", ROOT / "tests" / "dags"
    confs = [json.dumps({"task": task}) for task in TASKS]
    variables = {
        "AIRFLOW_HOME": str(world.folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    world = World(world.folder, world.environment | variables)
    call(world, sys.executable, str(dags / "airflow_process.py"), str(answer), *confs, store="by-dag")
    assert [run["state"] for run in json.loads(answer.read_text("utf-8"))["runs"]] == ["success"] * len(TASKS)
    assert world.made("by-dag") == set.union(*by_hand.values())
