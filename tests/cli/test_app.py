"""The command line: what it prints, what it leaves, and its exit codes, in processes of its own where these matter."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks import __version__
from fsat_tasks.tuning.ladder import RUNGS

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Cli = Callable[..., tuple[int, str, str]]
MakeTask = Callable[..., str]

TASK = "support-intents"
STEPS = ("validate", "extract", "tune", "evaluate", "export", "publish")


def artefacts(store: Path) -> dict[str, str]:
    """Step -> digest, of a store with one artefact a step; the row cache has one for each shard, and is left out."""
    manifests = [json.loads(path.read_text()) for path in store.glob("[!r]*/*/*/manifest.json")]
    assert len({manifest["step"] for manifest in manifests}) == len(manifests)
    return {manifest["step"]: manifest["digest"] for manifest in manifests}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# A run


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
            assert parent == references[name]
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


def test_second_run_does_nothing_and_changes_nothing(demo_copy: Path, fsat: Run) -> None:
    before = tree(demo_copy)
    result = fsat("run", TASK, store=demo_copy)
    assert result.returncode == 0
    lines = result.stderr.splitlines()
    assert [line.split()[:2] for line in lines] == [[step, "unchanged"] for step in STEPS]
    assert tree(demo_copy) == before
    assert "decision: promote" in result.stdout
    for name in ("model.onnx", "report.html", "manifest.json"):
        (line,) = [line for line in result.stdout.splitlines() if line.endswith(name)]
        assert Path(line.split(maxsplit=1)[1]).is_file()


def test_damaged_artefact_is_named_and_made_again_and_the_rest_is_kept(demo_copy: Path, fsat: Run) -> None:
    before = artefacts(demo_copy)
    (path,) = demo_copy.glob("tune/*/*/head.safetensors")
    path.write_bytes(b"damaged")
    result = fsat("run", TASK, store=demo_copy)
    assert result.returncode == 0
    assert f"corrupted artefact: {path.parent}" in result.stderr
    done = {line.split()[0]: line.split()[1] for line in result.stderr.splitlines() if line.split()[0] in STEPS}
    assert done.pop("tune") != "unchanged"
    assert set(done.values()) == {"unchanged"}
    assert artefacts(demo_copy) == before


def test_json_is_references_and_small_numbers(demo_copy: Path, cli: Cli) -> None:
    code, out, err = cli("evaluate", TASK, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
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


@pytest.fixture
def toy(make_task: MakeTask, encoder_store: Path, toy_rows: list[tuple[str, str]]) -> Callable[..., str]:
    """A small task with these gates, of which the encoder is exported already."""
    return lambda **gates: make_task(toy_rows, gates={"max_ece": 1.0, **gates})


def test_held_model_ends_with_code_3_and_leaves_the_champion(toy: Callable[..., str], cli: Cli, encoder_store: Path) -> None:
    task = toy(max_parity_error=1e-12)
    code, out, _ = cli("run", task)
    assert code == 3
    assert "decision: hold" in out
    assert "onnx_parity" in out
    registry = encoder_store / "registry" / task
    assert not (registry / "champion.json").exists()
    (entry,) = map(json.loads, (registry / "history.jsonl").read_text().splitlines())
    assert (entry["action"], entry["version"]) == ("hold", None)
    assert cli("run", task)[0] == 3
    assert len((registry / "history.jsonl").read_text().splitlines()) == 1
    code, _, err = cli("predict", task, "a cat")
    assert (code, err.startswith(f"fsat: task {task!r}: expected a published model")) == (2, True)
    assert [row["last"]["action"] for row in json.loads(cli("status", "--json")[1])] == ["hold"]


def test_model_that_needs_approval_is_held_until_the_same_command_approves_it(
    make_task: MakeTask, cli: Cli, encoder_store: Path, toy_rows: list[tuple[str, str]]
) -> None:
    gates = {"min_accuracy": 0.0, "min_macro_f1": 0.0, "min_class_recall": 0.0, "max_ece": 1.0}
    task = make_task(toy_rows, gates=gates, approval=True)
    registry = encoder_store / "registry" / task
    assert cli("run", task, "--dry-run", "--approve")[0] == 0
    assert not registry.exists()
    for command in ("run", "publish"):
        code, out, err = cli(command, task)
        assert (code, err.splitlines()[-1].split(".")[0]) == (3, "held: not approved")
        assert "champion: none yet" in out
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
    assert not (encoder_store / "registry").exists()
    assert cli("run", task)[0] == 0
    champion = json.loads((encoder_store / "registry" / task / "champion.json").read_text())
    assert champion["metrics"]["evidence"] == "leave_one_out"
    assert champion["metrics"]["rows"] == 12
    code, out, _ = cli("predict", task, "two dogs and a cow")
    assert (code, json.loads(out)["label"]) == (0, "animal")


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
        head: dict[str, Any] = json.loads((Path(json.loads(out)["tune"]["path"]) / "head.json").read_text())
        return list(head["lines"])

    assert lines() == list(range(2, 14))
    two = lines("--shots", "2")
    assert [sum(first <= line < first + 4 for line in two) for first in (2, 6, 10)] == [2, 2, 2]
    assert lines("--shots", "2", "--seed", "0") == two
    assert any(lines("--shots", "2", "--seed", str(seed)) != two for seed in (1, 2, 3))


# Prediction and status


def test_predict_answers_lines_of_standard_input_in_order(demo_store: Path, fsat: Run) -> None:
    texts = ["my card has not arrived", "", "Ich wurde doppelt belastet 🎉", "charged twice"]
    result = fsat("predict", TASK, store=demo_store, input="\n".join(texts) + "\n")
    assert (result.returncode, result.stderr) == (0, "")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["text"] for answer in answers] == texts
    assert answers[0]["label"] == "card_not_arrived"
    assert all(set(answer) == {"text", "label", "probability", "in_scope"} for answer in answers)


@pytest.mark.parametrize(
    ("given", "message"),
    [(b"good\ncaf\xe9\n", "fsat: standard input, line 2: expected UTF-8, got the byte 0xe9. Save it as UTF-8.\n")],
)
def test_input_that_is_not_utf_8_is_named(given: bytes, message: str, demo_store: Path, fsat: Run) -> None:
    result = fsat("predict", TASK, store=demo_store, input=given)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", message)


def test_text_argument_that_is_not_utf_8_is_refused(demo_store: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSAT_STORE", str(demo_store))
    assert cli("predict", TASK, os.fsdecode(b"caf\xe9")) == (2, "", "fsat: text: expected UTF-8, got bytes that are not.\n")


def test_predict_answers_the_rows_of_a_file(demo_store: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSAT_STORE", str(demo_store))
    (tmp_path / "rows.csv").write_text("id,body\n1,my card has not arrived\n2,charged twice\n")
    code, out, _ = cli("predict", TASK, "--file", str(tmp_path / "rows.csv"), "--column", "body")
    assert (code, len(out.splitlines())) == (0, 2)
    code, _, err = cli("predict", TASK, "--file", str(tmp_path / "none.csv"))
    assert (code, err.startswith("fsat: --file: expected a file, got ")) == (2, True)
    code, _, err = cli("predict", TASK, "a text", "--file", str(tmp_path / "rows.csv"))
    assert (code, err) == (2, "fsat: fsat predict: expected a text or --file, got both.\n")


def test_reader_that_goes_away_is_no_fault(demo_store: Path) -> None:
    command = f"yes card | head -3000 | {sys.executable} -m fsat_tasks.cli predict {TASK} | head -1; echo ${{PIPESTATUS[2]}}"
    environment = {**os.environ, "FSAT_STORE": str(demo_store)}
    result = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    assert result.stdout.splitlines()[1] == "0"


def test_status_shows_every_task_and_the_champions_files(
    demo_store: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    monkeypatch.setenv("FSAT_STORE", str(demo_store))
    monkeypatch.setenv("FSAT_DATA", str(repository / "data"))
    code, out, _ = cli("status", "--json")
    rows = {row["task"]: row for row in json.loads(out)}
    assert code == 0
    assert all(Path(path).is_file() for path in rows[TASK]["champion"]["paths"].values())
    assert rows[TASK]["last"]["version"] == 1
    code, out, _ = cli("status", TASK)
    assert code == 0
    assert TASK in out
    assert "v1" in out
    assert cli("status", "nowhere")[0] == 2


def test_status_without_tasks_is_an_empty_list(cli: Cli, data_root: Path, store_root: Path) -> None:
    assert cli("status", "--json")[:2] == (0, "[]\n")
    assert cli("status")[0] == 0


# The command itself


def test_init_makes_a_task_that_validates(cli: Cli, data_root: Path, store_root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("body,queue\na cat,pets\na dog,pets\na plane,travel\na train,travel\n")
    code, out, _ = cli("init", "mine", "--samples", str(tmp_path / "mine.csv"), "--text", "body", "--label", "queue")
    assert code == 0
    assert str(data_root / "mine") in out
    assert "fsat run mine" in out
    assert cli("validate", "mine")[0] == 0
    assert cli("init", "mine", "--samples", str(tmp_path / "mine.csv"))[0] == 2


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("predict", "--help")])
def test_help_ends_with_code_0(arguments: tuple[str, ...], cli: Cli) -> None:
    code, out, err = cli(*arguments)
    assert (code, err) == (0, "")
    assert "Usage: fsat" in out


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("run",), ("run", TASK, "--shots", "0"), ("run", TASK, "--device", "tpu"), ("run", TASK, "--nonsense")],
)
def test_wrong_usage_ends_with_code_2(arguments: tuple[str, ...], cli: Cli) -> None:
    code, _, err = cli(*arguments)
    assert code == 2
    assert "Usage: fsat" in err


def test_help_and_status_import_nothing_heavy(store_root: Path, data_root: Path) -> None:
    heavy = ("torch", "transformers", "onnxruntime", "great_expectations", "pandas", "pyarrow", "sklearn", "numpy", "airflow")
    code = (
        "import sys; from fsat_tasks import cli\n"
        "for arguments in (['--help'], ['status', '--json']):\n"
        "    sys.argv = ['fsat', *arguments]\n"
        "    try: cli.main()\n"
        "    except SystemExit: pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_package_and_installed_command_have_one_version_and_entry() -> None:
    from importlib.metadata import entry_points, version

    assert version("fsat") == __version__
    assert [point.value for point in entry_points(group="console_scripts", name="fsat")] == ["fsat_tasks.cli.app:main"]
