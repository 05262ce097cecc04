"""`dvc repro` in a fresh copy of the repository, without a remote and without a store."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
OUTPUTS = Path("outputs/support-intents")
AUTHOR = ("-c", "user.name=test", "-c", "user.email=test@example.org")


def run(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FSAT_")}
    result = subprocess.run(command, cwd=folder, env={**environment, "PATH": path}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone as a new user gets it, with `dvc repro` run in it."""
    folder = tmp_path_factory.mktemp("clone")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout.decode()
    for name in filter(None, names.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, folder / name)
    run(folder, "git", "init", "--quiet")
    run(folder, "git", "add", "--all")
    run(folder, "git", *AUTHOR, "commit", "--quiet", "-m", "clone")
    run(folder, "dvc", "repro")
    return folder


def test_repro_gives_the_digests_of_the_command_line(clone: Path, demo_store: Path) -> None:
    for step in ("validate", "extract", "tune", "evaluate", "export", "publish"):
        ours = json.loads((clone / OUTPUTS / step / "artefact.json").read_text())
        theirs = [json.loads(path.read_text()) for path in demo_store.glob(f"{step}/*/*/manifest.json")]
        assert [(one["key"], one["digest"]) for one in theirs] == [(ours["key"], ours["digest"])]


def test_manifests_name_dvc_as_the_caller(clone: Path) -> None:
    callers = {json.loads(path.read_text())["caller"] for path in (clone / ".fsat").glob("*/*/*/manifest.json")}
    assert callers == {"dvc"}


def test_second_repro_only_publishes_what_is_there(clone: Path) -> None:
    output = run(clone, "dvc", "repro")
    assert re.findall("Running stage '(.*)'", output) == ["publish@support-intents"]
    assert "This model is the champion already, version 1." in output


def test_an_experiment_is_recorded_though_its_model_is_held_and_leaves_the_champion(clone: Path) -> None:
    run(clone, "git", *AUTHOR, "commit", "--quiet", "--all", "-m", "repro")
    history = (clone / ".fsat/registry/support-intents/history.jsonl").read_bytes()
    run(clone, "dvc", "exp", "run", "--name", "few", "-S", "run.shots=2", "-S", "run.seed=1")
    assert not json.loads((clone / OUTPUTS / "publish" / "decision.json").read_text())["promote"]
    rows = list(csv.DictReader(run(clone, "dvc", "exp", "show", "--csv").splitlines()))
    (few,) = (row for row in rows if row["Experiment"] == "few")
    assert (few["run.shots"], few["run.seed"]) == ("2", "1")
    assert 0 < float(few["accuracy"]) < 1
    assert (clone / ".fsat/registry/support-intents/history.jsonl").read_bytes() == history
    run(clone, "git", "checkout", "--quiet", ".")
    run(clone, "dvc", "checkout", "--force")


def test_a_stage_runs_again_if_a_version_was_raised_and_not_for_other_changes_of_code(clone: Path) -> None:
    module, versions = clone / "fsat_tasks/steps/tune.py", clone / "fsat_tasks/store/versions.py"
    before = versions.read_text()
    module.write_text(module.read_text() + "# a remark\n")
    assert list(json.loads(run(clone, "dvc", "status", "--json"))) == ["publish@support-intents"]  # which is always run
    versions.write_text(re.sub(r"EVALUATE = \d+", "EVALUATE = 999", before))
    assert set(json.loads(run(clone, "dvc", "status", "--json"))) == {"evaluate@support-intents", "publish@support-intents"}
    versions.write_text(before)


def test_metrics_plots_and_params_are_shown(clone: Path) -> None:
    metrics = json.loads(run(clone, "dvc", "metrics", "show", "--json"))
    assert metrics[""]["data"][str(OUTPUTS / "evaluate" / "metrics.json")]["data"]["accuracy"] > 0.5
    run(clone, "dvc", "plots", "show", "--out", "plots")
    assert "confusion" in (clone / "plots" / "index.html").read_text()
    params = clone / "params.yaml"
    params.write_text(params.read_text().replace("seed: 0", "seed: 7"))
    change = json.loads(run(clone, "dvc", "params", "diff", "--json"))["params.yaml"]["run.seed"]
    assert (change["old"], change["new"]) == (0, 7)
