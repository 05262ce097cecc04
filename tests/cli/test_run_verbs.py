"""The verbs run and those of single steps: work is done once, and the output says what was done."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo_run import STEPS, TASK, artefacts, tree
from fsat_tasks.tuning.ladder import RUNGS
from json_result import result

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Cli = Callable[..., tuple[int, str, str]]


def test_second_run_does_nothing_and_changes_nothing(demo_copy: Path, fsat: Run) -> None:
    before = tree(demo_copy)
    ran = fsat("run", TASK, store=demo_copy)
    assert ran.returncode == 0
    lines = ran.stderr.splitlines()
    assert [line.split()[:2] for line in lines] == [[step, "unchanged"] for step in STEPS]
    assert tree(demo_copy) == before
    assert "This model is the champion already, version 1." in ran.stdout
    (config,) = demo_copy.glob("export/*/*/config.json")
    for name in (json.loads(config.read_text("utf-8"))["served"], "report.html", "manifest.json"):
        (line,) = [line for line in ran.stdout.splitlines() if line.endswith(name)]
        assert Path(line.split(maxsplit=1)[1]).is_file()


def test_damaged_artefact_is_named_and_made_again_and_the_rest_is_kept(demo_copy: Path, fsat: Run) -> None:
    before = artefacts(demo_copy)
    (path,) = demo_copy.glob("tune/*/*/head.safetensors")
    path.write_bytes(b"damaged")
    ran = fsat("run", TASK, store=demo_copy)
    assert ran.returncode == 0
    assert f"corrupted artefact: {path.parent}" in ran.stderr
    done = {line.split()[0]: line.split()[1] for line in ran.stderr.splitlines() if line.split()[0] in STEPS}
    assert done.pop("tune") != "unchanged"
    assert set(done.values()) == {"unchanged"}
    assert artefacts(demo_copy) == before


def test_json_is_references_and_small_numbers(demo_copy: Path, cli: Cli) -> None:
    code, out, err = cli("evaluate", TASK, "--json")
    assert (code, err) == (0, "")
    found = result(out)["steps"]
    assert list(found) == ["validate", "extract", "tune", "evaluate"]
    digests = artefacts(demo_copy)
    for step, summary in found.items():
        assert (summary["step"], summary["digest"], summary["built"]) == (step, digests[step], False)
        assert Path(summary["path"]).is_dir()
    assert len(out) < 4000


def test_step_says_what_it_did_and_not_what_was_there_already(demo_copy: Path, cli: Cli) -> None:
    code, out, err = cli("tune", TASK)
    assert (code, out.split("\n")[0].strip()) == (0, "the ladder")
    assert all(rung in out for rung in RUNGS)
    assert err.split()[:2] == ["tune", "unchanged"]
    assert err.count("\n") == 1


def test_out_folder_has_the_files_and_the_reference_and_is_replaced(demo_copy: Path, cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "outputs" / "evaluate"
    for _ in range(2):
        assert cli("evaluate", TASK, "--out", str(out))[0] == 0
    (out / "stray").touch()
    assert cli("evaluate", TASK, "--out", str(out))[0] == 2
    (out / "stray").unlink()
    (folder,) = demo_copy.glob("evaluate/*/*")
    copied, made = tree(out), tree(folder)
    del made["manifest.json"]
    assert json.loads(copied.pop("artefact.json"))["key"] == folder.name
    assert copied == made


def test_corrected_label_costs_no_encoder_time(toy: Callable[..., str], cli: Cli, data_root: Path) -> None:
    task = toy()
    assert cli("extract", task)[0] == 0
    path = data_root / task / "samples.csv"
    path.write_text(path.read_text().replace("rent a car for a week,travel", "rent a car for a week,number"))
    _, _, err = cli("tune", task)
    assert [line.split()[0] for line in err.splitlines()] == ["validate", "tune"]


def test_shots_and_seed_choose_the_samples(toy: Callable[..., str], cli: Cli, encoder_store: Path) -> None:
    task = toy()

    def lines(*options: str) -> list[int]:
        code, out, err = cli("tune", task, *options, "--json")
        assert code == 0, err
        head: dict[str, Any] = json.loads((Path(result(out)["steps"]["tune"]["path"]) / "head.json").read_text())
        return list(head["lines"])

    assert lines() == list(range(2, 14))
    two = lines("--shots", "2")
    assert [sum(first <= line < first + 4 for line in two) for first in (2, 6, 10)] == [2, 2, 2]
    assert lines("--shots", "2", "--seed", "0") == two
    assert any(lines("--shots", "2", "--seed", str(seed)) != two for seed in (1, 2, 3))


def test_dry_run_says_that_nothing_was_published(demo_copy: Path, cli: Cli) -> None:
    code, out, _ = cli("run", TASK, "--dry-run")
    assert (code, "Dry run: this model is the champion already, version 1." in out) == (0, True)
    assert "Dry run" not in cli("run", TASK)[1]


def test_run_of_changed_tasks_says_that_none_has_changed(demo_copy: Path, cli: Cli) -> None:
    code, out, _ = cli("run", TASK, "--changed")
    assert (code, out) == (0, "nothing to do: no task has changed\n")
