"""Labelling files: whatever is killed, raced or cut into shards, a file has one result; nothing outside the data root is read."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsat_tasks.errors import DataError, StoreError, TaskError
from fsat_tasks.models.served import ServedModel
from fsat_tasks.registry.champion import champion_model
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.tasks.files import find_files
from fsat_tasks.tasks.task import load_task
from fsat_tasks.traffic import labelling as apply_module
from fsat_tasks.traffic.labelling import PREDICTIONS, Labeller, label_texts, totals
from fsat_tasks.traffic.predictions import predict
from fsat_tasks.traffic.review import MOST, REVIEW, Doubt, Review

MakeTask = Callable[..., str]
Cli = Callable[..., tuple[int, str, str]]

# a model at no cost, whose answers depend on the text alone
STUB = """
import hashlib, os, signal, sys, time
from pathlib import Path
import numpy as np
from fsat_tasks.traffic import labelling as module

class Stub:
    labels, scope_threshold, set_thresholds = ["a", "b", "c"], 0.2, {"0.9": 0.6}
    calls, die_at, log, seconds = 0, -1, None, 0.0
    def run(self, texts):
        if self.log:
            time.sleep(self.seconds)
            with open(self.log, "a") as file:
                file.write(f"{len(texts)}\\n")
        if self.calls == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.calls += 1
        bits = [hashlib.sha256(text.encode()).digest() for text in texts]
        p = np.array([[one[0] + 1, one[1] + 1, one[2] + 1] for one in bits], np.float32).reshape(-1, 3)
        return p / p.sum(axis=1, keepdims=True), np.array([one[3] / 255 for one in bits], np.float32)
"""
RUN = (
    STUB
    + """
from fsat_tasks.tasks.task import load_task
from fsat_tasks.store import Recipe, Store
task, file, die_at, log, shard, seconds = sys.argv[1:]
module.SHARD = int(shard)
stub = Stub()
stub.die_at, stub.log, stub.seconds = int(die_at), log, float(seconds)
module.ServedModel = lambda folder: stub
store = Store(Path(os.environ["FSAT_STORE"]))
model = store.build(Recipe("export", 1, {}, {}), lambda folder: None)
result = module.Labeller(load_task(task), store, model).label(Path(file))
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(result.digest, result.built, peak)
"""
)


def start(task: str, file: Path, die_at: int = -1, log: str = "", shard: int = 10, seconds: float = 0) -> subprocess.Popen[str]:
    arguments = [task, str(file), str(die_at), log, str(shard), str(seconds)]
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments], env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[str, bool, int]:
    """Digest, whether it was built, and the most memory, in KB."""
    said, error = process.communicate()
    assert process.returncode == 0, error
    digest, built, peak = said.split()
    return digest, built == "True", int(peak)


@pytest.fixture(scope="session")
def stub() -> ServedModel:
    names: dict[str, Any] = {}
    exec(STUB, names)
    model: ServedModel = names["Stub"]()
    return model


@pytest.fixture
def task(make_task: Callable[..., str], toy_rows: list[tuple[str, str]]) -> str:
    return make_task(toy_rows)


@pytest.fixture
def model(store_root: Path, stub: ServedModel, monkeypatch: pytest.MonkeyPatch) -> Artefact:
    """A model's artefact that answers as the stub does."""
    monkeypatch.setattr(apply_module, "ServedModel", lambda folder: stub)
    return Store(store_root).build(Recipe("export", 1, {}, {}), lambda folder: None)


def write_texts(path: Path, texts: list[str]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("id", "text"), *enumerate(texts)])
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"text": text or None}) + "\n" for text in texts), "utf-8")
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({"text": pa.array([text or None for text in texts], pa.string())}), path)
    else:
        path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return path


def rows_of(result: Artefact) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(result.path / PREDICTIONS).to_pylist()
    return rows


def review_of(folder: Path) -> list[dict[str, str]]:
    with (folder / REVIEW).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


# What comes out


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet", ".txt"])
def test_every_row_of_every_format_is_in_the_result_in_its_place(
    ending: str, task: str, model: Artefact, stub: ServedModel, store_root: Path, tmp_path: Path
) -> None:
    texts = ["one", "two, with a comma", "one", "", "drei ü 🎉", "   "]
    result = Labeller(load_task(task), Store(store_root), model).label(write_texts(tmp_path / f"new{ending}", texts))
    rows = rows_of(result)
    first = 2 if ending == ".csv" else 1
    assert [row["line"] for row in rows] == list(range(first, first + len(texts)))
    assert [row["text"] or "" for row in rows] == texts
    p, scope = stub.run(texts)
    for row, probabilities, score in zip(rows, p, scope, strict=True):
        if not (row["text"] or "").strip():
            nothing = (row["label"], row["probability"], row["labels"], row["in_scope"], row["abstained"])
            assert nothing == (None, None, None, False, True)
            continue
        best = np.argsort(-probabilities)
        assert row["label"] == stub.labels[best[0]] == row["labels"][0]
        assert row["probability"] == probabilities.max()
        assert row["margin"] == pytest.approx(float(probabilities[best[0]] - probabilities[best[1]]))
        assert row["in_scope"] == (score >= stub.scope_threshold)
        assert row["abstained"] == (not row["in_scope"] or row["probability"] < 0.5)
        sure = [stub.labels[i] for i in best if 1 - float(probabilities[i]) <= 0.6]
        assert row["labels"] == (sure or [row["label"]])


def test_counts_add_up_and_are_those_of_the_rows(task: str, model: Artefact, store_root: Path, tmp_path: Path) -> None:
    file = write_texts(tmp_path / "new.csv", [f"text {i}" for i in range(100)] + ["", "text 1"])
    result = Labeller(load_task(task), Store(store_root), model).label(file)
    counts, rows = result.json("summary.json"), rows_of(result)
    assert counts["rows"] == 102 == counts["answered"] + counts["out_of_scope"] + counts["unsure"] + counts["blank"]
    assert counts["blank"] == 1
    assert counts["answered"] == sum(not row["abstained"] for row in rows) == sum(counts["labels"].values())
    assert counts["out_of_scope"] == sum(not row["in_scope"] for row in rows) - 1
    figures = totals([result.manifest["notes"], result.manifest["notes"]])
    assert (figures["files"], figures["rows"]) == (2, 204)
    assert figures["abstained_share"] == pytest.approx(1 - counts["answered"] / 102, abs=1e-4)


def test_least_probability_is_the_tasks(
    make_task: Callable[..., str], toy_rows: list[tuple[str, str]], model: Artefact, store_root: Path, tmp_path: Path
) -> None:
    file = write_texts(tmp_path / "new.txt", [f"text {i}" for i in range(50)])
    answered = [
        Labeller(load_task(make_task(toy_rows, apply={"min_probability": least})), Store(store_root), model).label(file)
        for least in (0.0, 0.5, 1.0)
    ]
    counts = [one.json("summary.json") for one in answered]
    assert counts[0]["unsure"] == 0 == counts[2]["answered"]
    assert counts[0]["answered"] > counts[1]["answered"] > 0


def test_review_has_what_the_model_abstains_on_once_and_smallest_margin_first(
    task: str, model: Artefact, store_root: Path, tmp_path: Path
) -> None:
    texts = [f'text {i}, "quoted"\nand more' for i in range(40)]
    result = Labeller(load_task(task), Store(store_root), model).label(write_texts(tmp_path / "new.csv", texts + texts))
    expected = {row["text"]: row for row in rows_of(result) if row["abstained"]}
    review = review_of(result.path)
    assert [row["text"] for row in review] == sorted(expected, key=lambda text: expected[text]["margin"])
    assert list(review[0]) == ["text", "label", "suggested", "probability", "reason"]
    for row in review:
        assert (row["label"], row["suggested"]) == ("", expected[row["text"]]["label"])
        assert row["reason"] == ("unsure" if expected[row["text"]]["in_scope"] else "out of scope")


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 99)), max_size=80), st.integers(1, 5))
def test_review_keeps_the_smallest_margins_whatever_comes_first(pairs: list[tuple[int, int]], most: int) -> None:
    margins = dict(pairs)  # a text has one margin
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fsat_tasks.traffic.review.MOST", most)
        review = Review()
        for text, _ in pairs:
            review.add([Doubt(margins[text], str(text), "a", 0.4, "unsure")])
        assert review.rows() == sorted(Doubt(margin, str(text), "a", 0.4, "unsure") for text, margin in margins.items())[:most]
        assert len(review._doubts) < 2 * most
    assert MOST == 1000


# One result


def test_file_is_labelled_once_by_a_model_whatever_its_name(task: str, model: Artefact, store_root: Path, tmp_path: Path) -> None:
    spec, store = load_task(task), Store(store_root)
    file = write_texts(tmp_path / "new.txt", ["one", "two"])
    assert Labeller(spec, store, model).find(file) is None
    first, second = (Labeller(spec, store, model).label(file) for _ in range(2))
    assert (first.built, second.built) == (True, False)
    assert Labeller(spec, store, model).find(write_texts(tmp_path / "copy.txt", ["one", "two"])) == first
    other = store.build(Recipe("export", 2, {}, {}), lambda folder: (folder / "x").touch())
    for model_, path in ((other, file), (model, write_texts(file, ["one", "two", "three"]))):
        assert Labeller(spec, store, model_).find(path) is None
    assert list((store_root / "checkpoints").iterdir()) == []


TEXTS = st.lists(st.sampled_from(["", " ", "a", "b", "c d", "é", "🎉", "long " * 50]), min_size=1, max_size=25)


@settings(max_examples=25)
@given(texts=TEXTS, shard=st.integers(1, 9))
def test_size_of_the_shards_does_not_matter(stub: ServedModel, texts: list[str], shard: int) -> None:
    rows = list(enumerate(texts, start=1))
    whole = label_texts(stub, rows, 0.5)
    parts = [label_texts(stub, rows[start : start + shard], 0.5) for start in range(0, len(rows), shard)]
    assert pa.concat_tables(parts).to_pylist() == whole.to_pylist()


def test_killed_call_loses_its_shard_alone_and_the_result_is_the_same(
    task: str, model: Artefact, store_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, log = write_texts(tmp_path / "new.csv", [f"text {i}" for i in range(45)]), tmp_path / "log"
    killed = start(task, file, 2, str(log))
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not list(store_root.glob("apply/*/[!.]*"))
    log.unlink()
    digest, built, _ = ended(start(task, file, log=str(log)))
    assert built
    assert log.read_text().split() == ["10", "10", "5"]
    monkeypatch.setattr(apply_module, "SHARD", 10)
    assert Labeller(load_task(task), Store(store_root.with_name("other")), model).label(file).digest == digest


def test_two_at_once_do_the_work_once(task: str, tmp_path: Path) -> None:
    file = write_texts(tmp_path / "new.txt", [f"text {i}" for i in range(60)])
    log = str(tmp_path / "log")
    both = [start(task, file, log=log, seconds=0.2) for _ in range(2)]
    (one, built, _), (other, again, _) = (ended(process) for process in both)
    assert one == other
    assert [built, again].count(True) == 1
    assert Path(log).read_text().split() == ["10"] * 6


def test_memory_does_not_grow_with_the_file(task: str, tmp_path: Path) -> None:
    words = "word " * 1_000  # 5,000 characters: 20,000 rows are 100 MB
    peaks = []
    for rows in (2_000, 20_000):
        file = write_texts(tmp_path / f"{rows}.txt", [f"{words}{i}" for i in range(rows)])
        peaks.append(ended(start(task, file, shard=100))[2])
    assert peaks[1] - peaks[0] < 45_000, peaks  # KB, of 90,000 that are read more


def test_file_that_is_written_to_meanwhile_has_no_result(
    task: str, model: Artefact, stub: ServedModel, store_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_texts(tmp_path / "new.txt", ["one", "two"])

    def label(*arguments: Any) -> pa.Table:
        with file.open("a") as more:
            more.write("three\n")
        return label_texts(*arguments)

    monkeypatch.setattr(apply_module, "label_texts", label)
    with pytest.raises(DataError, match=r"new\.txt: expected a file that stays as it is, got one that was written meanwhile"):
        Labeller(load_task(task), Store(store_root), model).label(file)
    assert not list(store_root.glob("apply/*/*"))
    assert list((store_root / "checkpoints").iterdir()) == []


# Bad files


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("n.csv", b"", "expected rows, got an empty file"),
        ("n.csv", b"body\na\n", "expected a column 'text', got the columns 'body'"),
        ("n.csv", b'text\na\nb\n"c\n', "line 4: expected a CSV record"),
        ("n.jsonl", b'{"text": "a"}\n{"text": 1.5}\n', "line 2, column 'text': expected text, got a number"),
        ("n.txt", b"a\ncaf\xe9\n", "n.txt, line 2: expected UTF-8, got the byte 0xe9"),
        ("n.txt", b"a\nb\0\n", "line 2, column 'text': expected text, got a NUL character"),
        ("n.txt", b"a\n" + b"x" * 20_001, "line 2, column 'text': expected at most 20,000 characters"),
        ("n.parquet", b"PAR1", "expected a readable Parquet file"),
    ],
)
def test_bad_file_is_told_before_any_row_is_labelled(
    name: str, content: bytes, message: str, task: str, model: Artefact, stub: ServedModel, store_root: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    before = stub.calls  # type: ignore[attr-defined]
    with pytest.raises(DataError) as caught:
        Labeller(load_task(task), Store(store_root), model).label(tmp_path / name)
    assert message in str(caught.value)
    assert stub.calls == before  # type: ignore[attr-defined]
    assert not (store_root / "checkpoints").exists()


# Which files


def test_pattern_names_files_of_the_data_root(task: str, data_root: Path) -> None:
    incoming = data_root / "incoming" / "deep"
    incoming.mkdir(parents=True)
    for name in ("b.csv", "a.txt", ".hidden.csv", "c.zip", "deep/d.jsonl"):
        (data_root / "incoming" / name).write_text("text\nx\n")
    spec = load_task(task)

    def names(pattern: str) -> list[str]:
        return [path.relative_to(data_root / "incoming").as_posix() for path in find_files(spec, pattern)]

    assert names("../incoming") == ["a.txt", "b.csv"]
    assert names("../incoming/*.csv") == ["b.csv"]
    assert names("../incoming/**/*.jsonl") == ["deep/d.jsonl"]
    assert names("../incoming/b.csv") == names(str(data_root / "incoming" / "b.csv")) == ["b.csv"]
    assert names("../incoming/*.parquet") == []


@pytest.mark.parametrize(
    "pattern",
    [
        "/etc/passwd",
        "/etc/*",
        "../../*.csv",
        "../../outside/a.csv",
        "*/../../../outside/*.csv",
        "link/*.csv",
        "l*/*.csv",
        "a.zip",
        "none.csv",
        "none/*/../x.csv",
        "**x",
        "\0",
        "x" * 300 + ".csv",
    ],
)
def test_pattern_that_leads_out_or_to_nothing_is_refused(pattern: str, task: str, data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.csv").write_text("text\nx\n")
    (data_root / task / "link").symlink_to(tmp_path / "outside")
    (data_root / task / "a.zip").touch()
    with pytest.raises(TaskError, match=r"^files: expected "):
        find_files(load_task(task), pattern)


def test_files_are_those_of_task_yaml_where_none_are_named(
    make_task: Callable[..., str], toy_rows: list[tuple[str, str]]
) -> None:
    with pytest.raises(TaskError, match=r"task\.yaml: apply\.files: expected a file, .* got none"):
        find_files(load_task(make_task(toy_rows)))
    (found,) = find_files(load_task(make_task(toy_rows, apply={"files": "samples.csv"})))
    assert found.name == "samples.csv"


# The command line, with a real model


def test_apply_answers_as_predict_does_and_its_review_can_be_fed_back(
    cli: Cli, demo_copy: Path, repository: Path, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(repository / "data" / "support-intents", data_root / "support-intents")
    monkeypatch.setenv("FSAT_DATA", str(data_root))
    texts = ["my card has not arrived", "is it the fee or was i charged twice", "what is the weather in Rome", "PIN blocked"]
    file, out = write_texts(tmp_path / "new.jsonl", texts), tmp_path / "out"
    code, said, error = cli("apply", "support-intents", str(file), "--out", str(out), "--json")
    assert code == 0, error
    (done,) = json.loads(said)
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
    assert said.startswith("support-intents: added 0 samples, 1 out-of-scope texts;")
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
        (["data.zip"], "FILE: expected a .csv, .jsonl, .parquet, .txt file, got 'data.zip'"),
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


def test_copy_whose_former_result_is_gone_is_kept(task: str, model: Artefact, store_root: Path, tmp_path: Path) -> None:
    from fsat_tasks.traffic.review import copy_result

    spec, store = load_task(task), Store(store_root)
    first, second = (
        Labeller(spec, store, model).label(write_texts(tmp_path / "n.txt", [f"{i} {j}" for j in range(20)])) for i in range(2)
    )
    copy_result(store, first, tmp_path / "out")
    copy_result(store, second, tmp_path / "out")
    shutil.rmtree(second.path)
    with pytest.raises(StoreError, match="one that was changed since"):
        copy_result(store, first, tmp_path / "out")
