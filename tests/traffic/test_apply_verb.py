"""The verb apply with a real model: it answers as predict does, and says which texts it cannot label."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fsat_tasks.registry.champion_files import champion_model
from fsat_tasks.store import Store
from fsat_tasks.tasks.task import load_task
from fsat_tasks.traffic.labelling import PREDICTIONS, Labeller
from fsat_tasks.traffic.predictions import predict
from fsat_tasks.traffic.review import REVIEW
from json_result import result
from label_files import write_texts

Cli = Callable[..., tuple[int, str, str]]


def test_apply_answers_as_predict_does_and_its_review_can_be_fed_back(
    cli: Cli, demo_copy: Path, repository: Path, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(repository / "data" / "support-intents", data_root / "support-intents")
    monkeypatch.setenv("FSAT_DATA", str(data_root))
    texts = ["my card has not arrived", "is it the fee or was i charged twice", "what is the weather in Rome", "PIN blocked"]
    file, out = write_texts(tmp_path / "new.jsonl", texts), tmp_path / "out"
    code, said, error = cli("apply", "support-intents", str(file), "--out", str(out), "--json")
    assert code == 0, error
    (done,) = result(said)["files"]
    assert (done["rows"], done["built"], done["file"]) == (4, True, str(file))
    rows = pq.read_table(done["predictions"]).to_pylist()
    for row, answer in zip(rows, predict("support-intents", texts), strict=True):
        assert (row["text"], row["label"], row["in_scope"]) == (answer["text"], answer["label"], answer["in_scope"])
        assert row["probability"] == pytest.approx(answer["probability"], abs=1e-4)
    code, said, _ = cli("apply", "support-intents", str(file))
    assert (code, "was labelled before" in said) == (0, True)
    review = Path(done["review"])
    assert review == out / "new.jsonl" / REVIEW
    with review.open(encoding="utf-8-sig", newline="") as table:
        lines = list(csv.DictReader(table))
    assert "what is the weather in Rome" in [line["text"] for line in lines]
    for line in lines:
        line["label"] = "out_of_scope" if "Rome" in line["text"] else ""
    with review.open("w", encoding="utf-8-sig", newline="") as table:
        writer = csv.DictWriter(table, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    code, said, error = cli("apply", "support-intents", str(file), "--out", str(out))  # a person's work is not written over
    assert code == 2
    assert "expected a review.csv as it was written" in error
    code, said, error = cli("add", "support-intents", str(review))
    assert code == 0, error
    assert said.startswith("support-intents: added 0 samples, 1 out-of-scope text;")
    assert "Rome" in (data_root / "support-intents" / "out_of_scope.jsonl").read_text("utf-8").splitlines()[-1]


def test_result_in_the_store_is_whole_and_a_new_copy_takes_the_place_of_the_old(
    cli: Cli, demo_copy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for texts in (["my card is lost"], ["my card is lost", "hello"]):
        code, _, error = cli("apply", "support-intents", str(write_texts(tmp_path / "new.txt", texts)), "--out", str(out))
        assert code == 0, error
    assert len(pq.read_table(out / "new.txt" / PREDICTIONS)) == 2
    model = champion_model("support-intents")
    for text_file in tmp_path.glob("*.txt"):
        assert Labeller(load_task("support-intents"), Store(demo_copy), model).find(text_file) is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.csv"], "FILE: expected a file, got 'nowhere.csv', which is not there"),
        ([], "task.yaml: apply.files: expected a file, a folder or a pattern, got none"),
        (["data.zip"], "FILE: expected a .csv, .tsv, .xlsx, .json, .jsonl, .parquet, .arrow or .txt file, got 'data.zip'"),
        (["a/n.txt", "b/n.txt", "--out", "out"], "--out: expected files with different names"),
    ],
)
def test_bad_arguments_end_with_code_2(
    arguments: list[str],
    message: str,
    cli: Cli,
    demo_store: Path,
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FSAT_STORE", str(demo_store))
    monkeypatch.setenv("FSAT_DATA", str(repository / "data"))
    monkeypatch.chdir(tmp_path)
    for name in ("data.zip", "a/n.txt", "b/n.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("x")
    code, said, error = cli("apply", "support-intents", *arguments)
    assert (code, said) == (2, "")
    assert message in error
    assert not (tmp_path / "out").exists()
