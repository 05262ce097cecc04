"""Processes that label a file: killed, two at once, and on a file larger than their memory may be."""

from __future__ import annotations

import signal
from pathlib import Path

from fsat_tasks.store import Store
from fsat_tasks.tasks.task import Task
from label_files import write_texts
from stub_model import StubModel, ended, start_labelling, stub_labeller


def test_killed_call_loses_its_shard_alone_and_the_result_is_the_same(
    task: Task, stub: StubModel, store_root: Path, tmp_path: Path
) -> None:
    file, log = write_texts(tmp_path / "new.csv", [f"text {i}" for i in range(45)]), tmp_path / "log"
    killed = start_labelling(task.name, file, 2, str(log))
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not list(store_root.glob("apply/*/[!.]*"))
    log.unlink()
    digest, built, _ = ended(start_labelling(task.name, file, log=str(log)))
    assert built
    assert log.read_text().split() == ["10", "10", "5"]
    assert stub_labeller(task, Store(store_root.with_name("other")), stub, shard_rows=10).label(file).digest == digest


def test_two_at_once_do_the_work_once(task: Task, tmp_path: Path) -> None:
    file = write_texts(tmp_path / "new.txt", [f"text {i}" for i in range(60)])
    log = str(tmp_path / "log")
    both = [start_labelling(task.name, file, log=log, seconds=0.2) for _ in range(2)]
    (one, built, _), (other, again, _) = (ended(process) for process in both)
    assert one == other
    assert [built, again].count(True) == 1
    assert Path(log).read_text().split() == ["10"] * 6


def test_memory_does_not_grow_with_the_file(task: Task, tmp_path: Path) -> None:
    words = "word " * 1_000  # 5,000 characters: 20,000 rows are 100 MB
    peaks = []
    for rows in (2_000, 20_000):
        file = write_texts(tmp_path / f"{rows}.txt", [f"{words}{i}" for i in range(rows)])
        peaks.append(ended(start_labelling(task.name, file, shard=100))[2])
    assert peaks[1] - peaks[0] < 45_000, peaks  # KB, of 90,000 that are read more
