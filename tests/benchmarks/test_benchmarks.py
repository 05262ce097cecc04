"""The benchmark command on a tiny set: tables, plots and JSON. Finished work stays; failures are reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data import label_shifts, load_split
from benchmarks.outcome import Outcome, figures
from benchmarks.tables import summarise

ROOT = Path(__file__).parents[2]

THINGS = {
    "animal": ("cat", "dog", "horse", "goat", "sheep", "mouse", "cow", "duck"),
    "food": ("bread", "cheese", "soup", "rice", "apple", "cake", "pasta", "butter"),
}
Bench = Callable[..., subprocess.CompletedProcess[str]]


def write(path: Path, rows: list[tuple[str, str]]) -> None:
    path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows), "utf-8")


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """One set, `things`, of two classes and a split of two shots."""
    folder = tmp_path / "sets" / "things"
    folder.mkdir(parents=True)
    write(folder / "train.jsonl", [(f"the {word} is here", label) for label, words in THINGS.items() for word in words])
    write(folder / "train_2.jsonl", [(f"the {word} is here", label) for label, words in THINGS.items() for word in words[:2]])
    write(folder / "test.jsonl", [(f"I like the {word}", label) for label, words in THINGS.items() for word in words[2:]])
    write(folder / "oos_test.jsonl", [("seven times eight", "oos"), ("the square root of two", "oos")])
    return tmp_path / "sets"


@pytest.fixture
def bench(sets: Path, tmp_path: Path, encoder_store: Path) -> Bench:
    """The command in a process of its own; results in tmp_path/out."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "benchmarks.run",
                "--data",
                str(sets),
                "--out",
                str(tmp_path / "out"),
                "--cache",
                str(tmp_path / "cache"),
                "--resamples",
                "1",
                *arguments,
            ],
            cwd=ROOT,
            env={**os.environ, "FSAT_STORE": str(encoder_store)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_run_writes_tables_and_plots_and_goes_on_where_it_was(bench: Bench, tmp_path: Path) -> None:
    first = bench("--methods", "logistic-regression", "--json")
    assert first.returncode == 0, first.stderr
    out = tmp_path / "out"
    [entry] = json.loads(first.stdout)["summary"]
    assert (entry["set"], entry["shots"], entry["method"], entry["resamples"]) == ("things", 2, "logistic-regression", 1)
    assert entry["fixed"]["accuracy"] > 0.5
    assert 0.0 <= entry["fixed"]["oos_fpr95"] <= 1.0
    assert entry["fixed"]["peak_megabytes"] > 10.0
    assert {path.name for path in out.glob("*.png")} == {"accuracy_seconds.png", "label_shift.png", "reliability.png"}
    results = json.loads((out / "results.json").read_text("utf-8"))
    assert results["machine"]["versions"].keys() >= {"numpy", "scikit-learn", "torch", "transformers"}
    assert str(tmp_path) not in (out / "results.json").read_text("utf-8")

    done = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert len(done) == 2  # the fixed split and one that is resampled
    second = bench("--methods", "logistic-regression,nearest-prototype", "--resamples", "0")
    assert second.returncode == 0, second.stderr
    assert "2 cells, 1 of them done before" in second.stderr
    assert {path: path.stat().st_mtime_ns for path in done} == done
    table = (out / "results.md").read_text("utf-8")
    assert "| 2 | logistic-regression | fixed |" in table
    assert "| 2 | nearest-prototype | fixed |" in table
    assert "| 2 | logistic-regression | 1 resamples |" in table


def test_a_cell_that_fails_is_reported_and_the_others_run(bench: Bench, sets: Path, tmp_path: Path) -> None:
    with (sets / "things" / "train_2.jsonl").open("a", encoding="utf-8") as file:
        file.write("not a row\n")
    result = bench("--methods", "nearest-prototype")
    assert result.returncode == 1
    table = (tmp_path / "out" / "results.md").read_text("utf-8")
    assert "train_2.jsonl, line 5" in table.split("## Failed")[1]
    assert "| 2 | nearest-prototype | 1 resamples |" in table


def test_an_unknown_set_is_refused(bench: Bench) -> None:
    result = bench("--sets", "things,other")
    assert result.returncode == 2
    assert "other" in result.stderr


def test_resampled_splits_have_so_many_rows_of_each_class_and_depend_on_the_seed_alone(sets: Path) -> None:
    one, again, other = (load_split(sets / "things", 3, split) for split in ("seed-1", "seed-1", "seed-2"))
    assert np.bincount(one.labels).tolist() == [3, 3]
    assert one.texts == again.texts != other.texts
    assert not set(one.texts) & set(one.unlabelled)
    assert len(one.texts) + len(one.unlabelled) == 16


def test_label_shifts_draw_no_row_twice_and_shift_the_classes() -> None:
    truth = np.repeat(np.arange(20), 50)
    shifts = label_shifts(truth)
    for shift in shifts:
        assert len(set(shift.rows.tolist())) == len(shift.rows) <= 500
    spread = {shift.concentration: np.bincount(truth[shift.rows], minlength=20).std() for shift in shifts}
    assert spread[0.5] > spread[2.0] > 10.0


def test_figures_of_a_sure_and_right_answer(sets: Path) -> None:
    rows = load_split(sets / "things", 2, "fixed")
    certain = np.eye(2)[rows.truth]
    answer = figures(Outcome(certain, certain.max(axis=1), np.zeros(2), 0.0, None), rows)
    assert (answer["accuracy"], answer["macro_f1"], answer["log_loss"], answer["ece"]) == (1.0, 1.0, 0.0, 0.0)
    assert (answer["oos_auroc"], answer["oos_fpr95"]) == (1.0, 0.0)
    with pytest.raises(ValueError, match="finite"):
        figures(Outcome(certain * np.nan, certain.max(axis=1), np.zeros(2), 0.0, None), rows)


def test_summary_has_mean_and_sample_sd_over_resamples_and_the_fixed_split_apart() -> None:
    def cell(split: str, accuracy: float) -> dict[str, object]:
        spec = {"method": "knn", "set": "s", "shots": 5, "split": split, "track": "inductive"}
        return {"spec": spec, "error": None, "figures": {"accuracy": accuracy, "label_shift": [], "details": {}}}

    [entry] = summarise([cell("fixed", 0.9), cell("seed-1", 0.6), cell("seed-2", 0.8)])
    assert entry["fixed"]["accuracy"] == 0.9
    assert entry["resampled"]["accuracy"] == pytest.approx({"mean": 0.7, "sd": 0.02**0.5})
