"""Changes between two models: answers by text, figures, and the rows of the data."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.errors import RegistryError
from fsat_tasks.registry.diff import diff_models
from fsat_tasks.registry.registry import Registry
from fsat_tasks.runs.run import Run
from fsat_tasks.steps.validate import validate
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.task import load_task
from json_result import result

Cli = Callable[..., tuple[int, str, str]]
Row = tuple[str, str]
Answers = Mapping[str, tuple[str, float]]

SAMPLES = [("a cat", "animal"), ("a dog", "animal"), ("two plus two", "number"), ("half of ten", "number")]
QUERY = [("the cow", "animal"), ("nine", "number"), ("the goat", "animal"), ("nine", "number"), ("a [b] pig\n" * 30, "animal")]
RIGHT = {text: (label, 0.9) for text, label in QUERY}


def write_model(folder: Path, config: dict[str, Any]) -> None:
    write_json(folder / "model.json", config)
    write_json(
        folder / "config.json",
        {"labels": ["animal", "number"], "set_thresholds": {}, "scope_threshold": 0.0, "served": "model.onnx"},
    )


class Models:
    """Publishes models of one task, whose data and answers a test may change in between."""

    def __init__(self, task: str, folder: Path, root: Path) -> None:
        self.task, self.folder, self.store, self.registry = task, folder, Store(root), Registry(root, task)

    def write(self, split: str, rows: Sequence[Row]) -> None:
        with (self.folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])

    def publish(
        self, answers: Answers, evidence: str = "query", promote: bool = True, settings: Mapping[str, Any] | None = None
    ) -> Artefact:
        """Publish a model with these answers and the lineage of a run. The real step checks the data as they are now."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        run = Run(load_task(self.task), self.store)
        validated = run.artefacts["validate"] = validate(run)
        split = run.tables.split("query" if evidence == "query" else "samples")
        given = [answers[text] for text in split.inputs]
        right = sum(label == answer for label, (answer, _) in zip(split.labels, given, strict=True)) / len(given)

        def evaluate(folder: Path) -> None:
            table = {
                "line": split.lines,
                "label": split.labels,
                "predicted": [answer for answer, _ in given],
                "probability": [probability for _, probability in given],
            }
            pq.write_table(pa.table(table), folder / "predictions.parquet")
            write_json(folder / "metrics.json", {"accuracy": right, "rows": len(given), "evidence": evidence})

        def decide(folder: Path) -> None:
            write_json(folder / "decision.json", {"promote": promote, "metrics": {"accuracy": right}})

        tuned = self.store.build(Recipe("tune", 1, settings or {}, {}), lambda folder: write_json(folder / "head.json", {}))
        config = {"data": validated.digest, "answers": {text: list(answer) for text, answer in answers.items()}}
        evaluated = self.store.build(Recipe("evaluate", 1, config, {}, parents={"validate": validated}), evaluate)
        parents = {"validate": validated, "evaluate": evaluated, "tune": tuned}
        model = self.store.build(Recipe("export", 1, config, {}, parents=parents), lambda folder: write_model(folder, config))
        self.registry.record(model, self.store.build(Recipe("publish", 1, config, {}), decide), self.registry.version())
        return model

    def diff(self, before: str, after: str) -> dict[str, Any]:
        return diff_models(self.store, self.task, self.registry.find(before), self.registry.find(after))


@pytest.fixture
def models(make_task: Callable[..., str], data_root: Path, store_root: Path) -> Models:
    task = make_task(SAMPLES, query=QUERY, unlabelled=[("u1", ""), ("u2", "")], out_of_scope=[("hello", "")])
    return Models(task, data_root / task, store_root)


def test_equal_models_differ_in_nothing(models: Models) -> None:
    models.publish(RIGHT)
    found = models.diff("1", "1")
    assert (found["compared"], found["changed"], found["data"]) == (5, [], {})
    assert found["figures"] == {
        "accuracy": {"before": 1.0, "after": 1.0},
        "rows": {"before": 5, "after": 5},
        "evidence": {"before": "query", "after": "query"},
    }


def test_rows_with_another_label_stand_with_truth_answers_and_effect(models: Models) -> None:
    models.publish({**RIGHT, "the cow": ("number", 0.6), "the goat": ("number", 0.7)})
    models.publish({**RIGHT, "nine": ("animal", 0.55), "the goat": ("number", 0.8)})
    found = models.diff("1", "2")
    assert [(row["line"], row["text"], row["effect"]) for row in found["changed"]] == [
        (2, "the cow", "fixed"),
        (3, "nine", "broken"),
        (5, "nine", "broken"),
    ]
    assert found["changed"][0] == {
        "line": 2,
        "text": "the cow",
        "label": "animal",
        "label_before": "animal",
        "before": "number",
        "probability_before": 0.6,
        "after": "animal",
        "probability_after": 0.9,
        "effect": "fixed",
    }
    assert found["figures"]["accuracy"] == {"before": 0.6, "after": 0.4}
    assert [row["effect"] for row in models.diff("2", "1")["changed"]] == ["broken", "fixed", "fixed"]


def test_rows_are_compared_by_text_wherever_they_stand(models: Models) -> None:
    models.publish(RIGHT)
    models.write("query", [("a new one", "animal"), *reversed(QUERY[1:])])
    models.publish({**RIGHT, "a new one": ("number", 0.5), "the goat": ("number", 0.5)})
    found = models.diff("1", "2")
    assert found["compared"] == 4
    assert [(row["line"], row["text"]) for row in found["changed"]] == [
        (35, "the goat")
    ]  # the long text has 31 lines of the file
    assert found["data"]["query"] == {
        "came": [{"text": "a new one", "label": "animal"}],
        "went": [{"text": "the cow", "label": "animal"}],
        "relabelled": [],
    }


def test_rows_of_every_split_that_came_went_or_were_relabelled(models: Models) -> None:
    models.publish(RIGHT)
    models.write(
        "samples", [*SAMPLES[1:3], ("half of ten", "animal"), ("a horse", "animal"), ("six", "number"), ("six", "number")]
    )
    models.write("query", [(QUERY[0][0], "number"), *QUERY[1:]])
    models.write("out_of_scope", [("hello", ""), ("hello", "")])
    models.write("unlabelled", [("u2", ""), ("u3", ""), ("u4", ""), ("u4", "")])
    models.publish({**RIGHT, "the cow": ("number", 0.8)})
    found = models.diff("1", "2")
    assert found["data"]["samples"] == {
        "came": [{"text": "a horse", "label": "animal"}, *[{"text": "six", "label": "number"}] * 2],
        "went": [{"text": "a cat", "label": "animal"}],
        "relabelled": [{"text": "half of ten", "before": "number", "after": "animal"}],
    }
    assert found["data"]["query"] == {
        "came": [],
        "went": [],
        "relabelled": [{"text": "the cow", "before": "animal", "after": "number"}],
    }
    assert found["data"]["out_of_scope"]["came"] == [{"text": "hello", "label": None}]
    assert found["data"]["unlabelled"] == {"came": 2, "went": 1}
    (changed,) = found["changed"]
    assert (changed["label_before"], changed["label"], changed["effect"]) == ("animal", "number", "relabelled")


def test_settings_of_task_yaml_that_changed_are_said(models: Models, cli: Cli) -> None:
    rows = [(f"{text} {number}", label) for number in range(3) for text, label in SAMPLES]
    models.write("samples", rows)
    models.publish(RIGHT, settings={"budget_seconds": 240.0, "shots": None, "seed": 0})
    task_yaml = models.folder / "task.yaml"
    written = json.loads(task_yaml.read_text("utf-8"))
    task_yaml.write_text(json.dumps({**written, "validation": {"near_duplicate": 0.8}}), "utf-8")
    models.publish(RIGHT, settings={"budget_seconds": 10.0, "shots": 3, "seed": 0, "limit_seconds": 60.0})
    assert models.diff("1", "2")["settings"] == {
        "shots": {"before": None, "after": 3},
        "tune.budget_seconds": {"before": 240.0, "after": 10.0},
        "tune.limit_seconds": {"before": None, "after": 60.0},
        "validation.near_duplicate": {"before": 0.9, "after": 0.8},
    }
    said = cli("diff", models.task, "1", "2")[1].splitlines()
    assert "settings: tune.budget_seconds 240 -> 10" in said
    assert "settings: shots null -> 3" in said
    assert models.diff("1", "1")["settings"] == {}


def test_left_out_samples_are_compared_where_there_are_no_query_rows(models: Models) -> None:
    answers = {text: (label, 0.9) for text, label in SAMPLES}
    models.publish(answers, evidence="leave_one_out")
    models.publish({**answers, "a dog": ("number", 0.5)}, evidence="leave_one_out")
    assert [row["text"] for row in models.diff("1", "2")["changed"]] == ["a dog"]
    models.publish(RIGHT)
    mixed = models.diff("1", "3")
    assert (mixed["compared"], mixed["figures"]["evidence"]) == (0, {"before": "leave_one_out", "after": "query"})


@pytest.mark.parametrize("step", ["export", "evaluate", "validate"])
def test_model_whose_lineage_is_altered_is_refused(step: str, models: Models) -> None:
    models.publish(RIGHT)
    next(models.store.root.glob(f"{step}/*/*/*")).write_text("altered")
    with pytest.raises(RegistryError, match=r"expected the files that were published, got missing or altered ones.*fsat run"):
        models.diff("1", "1")


def test_verb_compares_with_the_newest_model_and_prints_words_or_json(models: Models, cli: Cli) -> None:
    models.publish(RIGHT)
    models.publish({**RIGHT, QUERY[4][0]: ("number", 0.625)})
    models.write("samples", [*SAMPLES, ("[/] a horse", "animal")])
    models.publish({**RIGHT, "the cow": ("number", 0.5)}, promote=False)
    key = models.registry.history()[-1]["model"]["key"]
    code, out, err = cli("diff", models.task, "1", "2")
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == ["To 1 of 5 rows, version 2 gives another answer than version 1: 1 broken.", "data: the same"]
    assert "animal (90.0 %)" in out
    assert "number (62.5 %)" in out
    assert "a [b] pig a [b] pig" in out
    assert "-20.0 points" in out
    assert out.index("answers that changed") < out.index("figures")
    code, out, _ = cli("diff", models.task, "1", key[:8])
    assert code == 0
    assert "[/] a horse" in out
    assert f"model {key[:8]} gives another answer than version 1" in out
    assert "data: 1 sample added" in out
    assert cli("diff", models.task, "1")[1] == out
    assert cli("diff", models.task, "2", "2")[1].splitlines()[0] == "Both are version 2."
    code, out, _ = cli("diff", models.task, "1", "2", "--json")
    assert result(out) == models.diff("1", "2")
    for arguments in (("9",), ("1", "9"), ("1", "abcdefab")):
        code, out, err = cli("diff", models.task, *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
    assert cli("diff", "nowhere", "1")[0] == 2


def test_diff_of_the_demo_with_itself_reads_what_a_run_leaves(
    demo_store: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSAT_STORE", str(demo_store))
    code, out, _ = cli("diff", "support-intents", "1", "--json")
    found = result(out)
    assert (code, found["compared"], found["changed"], found["data"]) == (0, 420, [], {})
    assert found["figures"]["accuracy"]["before"] == found["figures"]["accuracy"]["after"] > 0
