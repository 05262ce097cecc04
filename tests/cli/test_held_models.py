"""A model is published, or held by a gate or until it is approved; the exit code says which."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from json_result import result

Cli = Callable[..., tuple[int, str, str]]
MakeTask = Callable[..., str]


def test_held_model_ends_with_code_3_and_leaves_the_champion(toy: Callable[..., str], cli: Cli, encoder_store: Path) -> None:
    task = toy(max_parity_error=1e-12)
    code, out, _ = cli("run", task)
    assert code == 3
    assert "The model was held, because it did not pass the gate onnx_parity; there is no champion yet." in out
    registry = encoder_store / "registry" / task
    assert not (registry / "champion.json").exists()
    (entry,) = map(json.loads, (registry / "history.jsonl").read_text().splitlines())
    assert (entry["action"], entry["version"]) == ("hold", None)
    assert cli("run", task)[0] == 3
    assert cli("publish", task, "--experiment")[0] == 0
    assert len((registry / "history.jsonl").read_text().splitlines()) == 1
    code, _, err = cli("predict", task, "a cat")
    assert (code, err.startswith(f"fsat: task {task!r}: expected a published model")) == (2, True)
    assert [row["last"]["action"] for row in result(cli("status", "--json")[1])["tasks"]] == ["hold"]


def test_held_model_that_a_person_promoted_is_the_champion_of_an_unchanged_run(
    toy: Callable[..., str], cli: Cli, encoder_store: Path
) -> None:
    task = toy(max_parity_error=1e-12)
    code, out, _ = cli("run", task)
    promote = out.splitlines()[-1].split("#")[0].split()
    assert (code, promote[:3]) == (3, ["fsat", "promote", task])
    assert cli(*promote[1:])[0] == 0  # the command works as it is printed
    code, out, _ = cli("run", task)
    assert (code, "The model did not pass the gate onnx_parity, but a person made it the champion" in out) == (0, True)
    assert result(cli("run", task, "--json")[1])["tasks"][0]["ending"] == "overruled"


def test_model_that_needs_approval_is_held_until_the_same_command_approves_it(
    make_task: MakeTask, cli: Cli, encoder_store: Path, toy_rows: list[tuple[str, str]]
) -> None:
    gates = {"min_accuracy": 0.0, "min_macro_f1": 0.0, "min_class_recall": 0.0, "max_ece": 1.0}
    task = make_task(toy_rows, gates=gates, approval=True)
    registry = encoder_store / "registry" / task
    assert cli("run", task, "--dry-run", "--approve")[0] == 0
    assert not registry.exists()
    for command in ("run", "publish"):
        code, out, _ = cli(command, task)
        assert (code, "all gates passed" in out) == (3, False)
        assert "a person must approve the model before it is used; there is no champion yet." in out
        assert out.splitlines()[-1].split("  #")[0] == f"  fsat {command} {task} --approve"
    assert not (registry / "champion.json").exists()
    assert cli("run", task, "--approve")[0] == 0
    assert cli("run", task)[0] == 0  # it is the champion already
    entries = [json.loads(line) for line in (registry / "history.jsonl").read_text().splitlines()]
    assert [(entry["action"], entry.get("reason")) for entry in entries] == [("hold", "not approved"), ("promote", None)]


def test_gate_is_not_overruled_by_an_approval(
    make_task: MakeTask, cli: Cli, encoder_store: Path, toy_rows: list[tuple[str, str]]
) -> None:
    task = make_task(toy_rows, gates={"max_ece": 1.0, "max_parity_error": 1e-12}, approval=True)
    assert cli("run", task, "--approve")[0] == 3
    (entry,) = [json.loads(line) for line in (encoder_store / "registry" / task / "history.jsonl").read_text().splitlines()]
    assert (entry["action"], entry.get("reason")) == ("hold", None)


def test_toy_task_without_query_rows_is_judged_on_left_out_samples_and_published(
    toy: Callable[..., str], cli: Cli, encoder_store: Path
) -> None:
    task = toy(min_accuracy=0.0, min_macro_f1=0.0, min_class_recall=0.0)
    code, _, err = cli("run", task, "--dry-run")
    assert code == 0, err
    assert cli("publish", task, "--experiment")[0] == 0
    assert not (encoder_store / "registry").exists()
    assert cli("run", task)[0] == 0
    champion = json.loads((encoder_store / "registry" / task / "champion.json").read_text())
    assert champion["metrics"]["evidence"] == "leave_one_out"
    assert champion["metrics"]["rows"] == 12
    code, out, _ = cli("predict", task, "two dogs and a cow")
    assert (code, json.loads(out)["label"]) == (0, "animal")
