"""Extraction in shards: the same features if it is cut up, killed or shared, and no row encoded twice."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fsat_tasks.data import pool as pools
from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.errors import DataError, DeviceError
from fsat_tasks.report.tables import findings
from fsat_tasks.runs import precision
from fsat_tasks.runs import run as run_module
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime import device, numeric_class
from fsat_tasks.steps import extract as extraction
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.steps.shards import list_shards, run_shard
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import load_task

Row = tuple[str, str]
POOL = [(f"{'some more words ' * (i % 4)}message {i}", "") for i in range(150)]


@pytest.fixture
def task(make_task: Callable[..., str], toy_rows: list[Row], encoder_store: Path) -> str:
    return make_task(toy_rows, unlabelled=[*POOL, *POOL[:30]])


def extracted(name: str) -> Artefact:
    return run_steps(load_task(name), "extract")["extract"]


def finished(name: str, until: str) -> Run:
    """Return the run of a task whose steps are done up to one."""
    task, store = load_task(name), Store(Path(os.environ["FSAT_STORE"]))
    return Run(task, store, run_steps(task, until, store=store))


def test_rows_are_the_small_files_texts_and_then_the_pools(task: str) -> None:
    from fsat_tasks.encoders.encoder import load_encoder

    run = finished(task, "extract")
    found = run.artefacts
    texts = [*run.tables.inputs, *(text for text, _ in [*POOL, *POOL[:30]])]
    expected = load_encoder("all-MiniLM-L6-v2", "cpu").encode(texts, "all")
    features = expected.astype(np.float16)
    np.testing.assert_array_equal(run.features(texts), features)
    content = {"shape": [195, 7, 384], "type": "float16", "sha256": hashlib.sha256(features.tobytes()).hexdigest()}
    assert found["extract"].json("features.json") == content
    assert found["extract"].manifest["notes"]["encoded"] == len(set(texts))


def test_rows_that_are_cut_are_named_by_file_and_line_in_the_log_and_the_report(
    make_task: Callable[..., str], toy_rows: list[Row], encoder_store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    long = "word " * 300
    name = make_task(
        [*toy_rows, (long, "animal")],
        query=[(f"{long} {end}", "number") for end in ("a", "b")] + [("short", "number")],
        unlabelled=[(f"{long} {end}", "") for end in ("c", "d", "e")],
    )
    run = finished(name, "extract")
    assert run.extracted.manifest["notes"]["truncated"] == 6
    assert run.extracted.json("cut.json")["unlabelled"] == 3
    said = "6 of 22 texts were cut to 256 tokens, because the encoder reads no more; samples: line 14; query: lines 2, 3"
    assert caplog.messages.count(said) == 1
    found = [(one["file"], one["message"], one["lines"]) for one in findings(run) if "cut" in one["message"]]
    ending = "cut to 256 tokens, because the encoder reads no more"
    assert found == [
        ("samples", f"1 of 13 texts was {ending}", [14]),
        ("query", f"2 of 3 texts were {ending}", [2, 3]),
        ("unlabelled", f"3 of 3 texts were {ending}", []),
    ]


def test_digest_does_not_depend_on_the_size_of_a_shard(
    task: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, encoder_store: Path
) -> None:
    whole = extracted(task)
    for folder in [*encoder_store.glob("rows-*"), encoder_store / "extract"]:
        folder.rename(tmp_path / folder.name)
    monkeypatch.setattr(extraction, "SHARD", 37)
    small = extracted(task)
    assert small.built
    assert (small.key, small.digest) == (whole.key, whole.digest)
    assert len(list(encoder_store.glob("rows-*/*/*"))) > 1


def test_shards_that_other_workers_encoded_are_only_gathered(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "SHARD", 64)
    loaded = load_task(task)
    numbers = list_shards([loaded])
    assert numbers == [(0, 1), (0, 2), (0, 3)]  # 180 rows of the pool; 15 texts and names are left to the step
    done = [run_shard(loaded, shard) for _, shard in numbers]
    assert sum(one["encoded"] + one["found"] for one in done) >= 150
    assert run_shard(loaded, 2)["encoded"] == 0
    assert extracted(task).manifest["notes"]["encoded"] == 15


def test_shards_of_many_texts_are_shared_out_too(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "SHARD", 8)
    loaded = load_task(task)
    for _, shard in list_shards([loaded]):
        run_shard(loaded, shard)
    assert extracted(task).manifest["notes"]["encoded"] == 0


def test_pool_of_several_tasks_is_shared_out_once(
    make_task: Callable[..., str], toy_rows: list[Row], data_root: Path, encoder_store: Path
) -> None:
    (data_root / "pool.csv").write_text("text\n" + "".join(f"{text}\n" for text, _ in POOL), "utf-8")
    names = [make_task(toy_rows[start:], unlabelled="../pool.csv") for start in (0, 1)]
    other = make_task(toy_rows, unlabelled="../pool.csv", tune={"body": "off", "pool_rows": 20})
    broken = make_task(toy_rows[:1], unlabelled="../pool.csv")
    lost = make_task(toy_rows, unlabelled="../pool.csv", encoder={"name": "org/nowhere"})
    found = list_shards([load_task(name) for name in (broken, *names, other, lost)])
    assert found == [(1, 1), (3, 1)]  # those whose own steps will fail are left out
    run_shard(load_task(names[0]), 1)
    assert extracted(names[1]).manifest["notes"]["encoded"] < 20


def test_pool_is_drawn_by_the_seed_where_it_is_larger_than_what_is_used(
    make_task: Callable[..., str], toy_rows: list[Row], encoder_store: Path
) -> None:
    name = make_task(toy_rows, unlabelled=POOL, tune={"body": "off", "pool_rows": 20})
    run = finished(name, "validate")
    drawn = [run.pool.draw(20, seed) for seed in (0, 0, 1)]
    assert [len(rows) for rows in drawn] == [20, 20, 20]
    assert (np.diff(drawn[0]) > 0).all()
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    assert list(run.pool.inputs(drawn[0])) == [POOL[i][0] for i in drawn[0]]
    notes = extracted(name).manifest["notes"]
    assert notes["rows"] == run.validated.manifest["notes"]["texts"] + 20


def test_draw_is_fair_to_rows_and_not_to_texts(make_task: Callable[..., str], toy_rows: list[Row], store_root: Path) -> None:
    pool = [("the same again", "")] * 500 + [(f"once {i}", "") for i in range(500)]
    found = finished(make_task(toy_rows, unlabelled=pool), "validate").pool
    repeated = [(found.draw(100, seed) < 500).mean() for seed in range(200)]
    assert abs(np.mean(repeated) - 0.5) < 5 * np.sqrt(0.25 * 0.9 / 100 / 200)  # without replacement
    assert np.std(repeated) == pytest.approx(np.sqrt(0.25 * 0.9 / 100), rel=0.25)


def test_pool_with_new_rows_gives_up_as_few_of_those_that_were_drawn(
    make_task: Callable[..., str], toy_rows: list[Row], store_root: Path
) -> None:
    texts = []
    for pool in (POOL, [*POOL[:70], *((f"new {i}", "") for i in range(8)), *POOL[70:]]):
        found = finished(make_task(toy_rows, unlabelled=pool), "validate").pool
        few, more = (found.draw(count, 0) for count in (60, 120))
        assert set(few) < set(more)
        texts.append(list(found.inputs(more)))
    new = set(texts[1]) - set(texts[0])
    assert all(text.startswith("new") for text in new)
    assert 0 < len(new) <= 8
    assert len(set(texts[0]) - set(texts[1])) == len(new)


def test_features_that_were_lost_are_encoded_again(task: str, encoder_store: Path, tmp_path: Path) -> None:
    texts = ["a cat", *(text for text, _ in POOL[:5])]
    before = finished(task, "extract").features(texts)
    for folder in encoder_store.glob("rows-*"):
        folder.rename(tmp_path / folder.name)
    after = finished(task, "extract").features(texts)
    np.testing.assert_array_equal(after, before)


def test_pool_is_read_over_the_borders_of_row_groups(
    make_task: Callable[..., str], toy_rows: list[Row], store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "ROW_GROUP", 7)
    found = finished(make_task(toy_rows, unlabelled=POOL), "validate").pool
    rows = np.array([0, 6, 7, 8, 20, 21, 149])
    assert list(found.inputs(rows)) == [POOL[i][0] for i in rows]


KILLED = """
import sys
from fsat_tasks.steps import extract
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.tasks.task import load_task
extract.SHARD = 32
run_steps(load_task(sys.argv[1]), "extract")
"""


def test_run_that_is_killed_goes_on_with_the_next_shard(task: str, encoder_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_steps(load_task(task), "validate")
    process = subprocess.Popen([sys.executable, "-c", KILLED, task], env=dict(os.environ))
    while not (segments := list(encoder_store.glob("rows-*/*/[!.]*/manifest.json"))) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert segments
    assert not list(encoder_store.glob("extract/*/[!.]*"))
    monkeypatch.setattr(extraction, "SHARD", 32)
    after = extracted(task)
    assert after.manifest["notes"]["encoded"] < 165
    for folder in encoder_store.glob("rows-*"):
        shutil.rmtree(folder)
    (encoder_store / "extract").rename(encoder_store / "before")
    assert extracted(task).digest == after.digest  # as when nothing is killed


# Devices


def fail_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that there is a GPU, which fails at every call."""

    def open_encoder(encoder: Artefact, device: str, source: object) -> Encoder:
        if device == "cuda":
            raise DeviceError("device cuda", "a GPU that answers", "CUDA error: unknown error")
        return Encoder(encoder, "cpu")

    monkeypatch.setattr(device, "cuda_devices", lambda: 1)
    for module in (device, numeric_class):
        monkeypatch.setattr(module, "onnxruntime_runs_on_cuda", lambda: True)
    monkeypatch.setattr(run_module, "Encoder", open_encoder)


def test_gpu_that_is_gone_is_replaced_by_the_cpu_where_the_task_says_auto(
    task: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fail_on_cuda(monkeypatch)
    assert extracted(task).manifest["numeric_class"] == "onnxruntime-cpu-fp32"
    assert "Going on with the CPU" in caplog.text


def test_gpu_that_is_gone_ends_the_step_where_the_task_says_cuda(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_on_cuda(monkeypatch)
    with pytest.raises(DeviceError, match="a GPU that answers"):
        run_steps(load_task(task, {"device": "cuda"}), "extract")


# Precision


def test_int8_is_used_and_served_where_the_samples_keep_their_labels(
    make_task: Callable[..., str], toy_rows: list[Row], encoder_store: Path
) -> None:
    name = make_task(
        toy_rows, encoder={"precision": "int8"}, gates={"min_accuracy": 0, "min_macro_f1": 0, "min_class_recall": 0, "max_ece": 1}
    )
    found = run_steps(load_task(name), "export")
    assert found["extract"].manifest["numeric_class"] == "onnxruntime-cpu-int8"
    assert found["extract"].manifest["parents"]["encoder"]["step"] == "encoder-int8"
    assert found["export"].manifest["notes"]["promote"] is True
    (fp32,) = encoder_store.glob("encoder/*/*/encoder.onnx")
    assert (found["export"].path / "model.onnx").stat().st_size < 0.7 * fp32.stat().st_size
    (verdict,) = encoder_store.glob("precision/*/*/precision.json")
    assert '"accepted": true' in verdict.read_text("utf-8")


def test_int8_is_refused_where_labels_change(
    make_task: Callable[..., str], toy_rows: list[Row], encoder_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_class_on(run: Run, encoder: Artefact) -> list[str]:
        labels = run.tables.samples.labels
        return labels if encoder.step == "encoder" else [*labels[1:], labels[0]]

    monkeypatch.setattr(precision, "_left_out_labels", one_class_on)
    name = make_task(toy_rows, encoder={"precision": "int8"})
    found = run_steps(load_task(name), "extract")
    assert found["extract"].manifest["numeric_class"] == "onnxruntime-cpu-fp32"


# Pools


def test_error_deep_in_a_pool_names_its_line_and_writes_nothing(
    make_task: Callable[..., str], toy_rows: list[Row], store_root: Path
) -> None:
    rows = b"text,label\n" + "".join(f"message {i} ü,\n" for i in range(30_000)).encode() + b"caf\xe9,\n"
    with pytest.raises(DataError, match=r"unlabelled\.csv, line 30002: expected UTF-8, got the byte 0xe9"):
        run_steps(load_task(make_task(toy_rows, unlabelled=rows)), "validate")
    assert not list(store_root.glob("validate/*/*"))


def test_parquet_pool_that_is_cut_off_is_named(data_root: Path, make_task: Callable[..., str], toy_rows: list[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = make_task(toy_rows, unlabelled="pool.parquet")
    path = data_root / name / "pool.parquet"
    pq.write_table(pa.table({"text": [f"message {i}" for i in range(5000)]}), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"pool\.parquet: expected a readable Parquet file, got .* It may be cut off"):
        run_steps(load_task(name), "validate")


def test_parquet_text_that_is_not_utf8_is_named(data_root: Path, make_task: Callable[..., str], toy_rows: list[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = make_task(toy_rows, unlabelled="pool.parquet")
    cells = [b"message"] * 5000 + [b"caf\xe9"]
    texts = pa.Array.from_buffers(pa.string(), len(cells), pa.array(cells, pa.binary()).buffers())
    pq.write_table(pa.table({"text": texts}), data_root / name / "pool.parquet")
    with pytest.raises(DataError, match=r"pool\.parquet, from line 4097: expected a readable Parquet file, got .*UTF8.* 904"):
        run_steps(load_task(name), "validate")
