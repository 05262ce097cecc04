"""Encoders that are tuned side by side: results that a killed run leaves and the next one finds, and failures, which end all."""

from __future__ import annotations

import resource
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.errors import FsatError
from fsat_tasks.tuning.fine_tuning import Weights
from fsat_tasks.tuning.jobs import FineTuningSettings, TrainingRows, TuningJob
from fsat_tasks.tuning.workers import tune_encoders
from tuning.tiny_encoder import CLASSES, DIM, FAST, LABELS, SHOTS, one_hot

STEP = ContextVar("step", default="")


@pytest.fixture
def jobs(source: EncoderSource) -> list[TuningJob]:
    """Four small jobs, which are done in this process."""
    training = TrainingRows(SHOTS, one_hot(LABELS), np.ones((CLASSES, DIM), np.float32))
    return [TuningJob(source, training, replace(FAST, epochs=2), seed, "cpu") for seed in range(4)]


def ignore(_: int) -> None:
    """Ignore the progress."""


def files_of(folder: Path) -> dict[str, int]:
    """Return file -> time when it was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def assert_same(one: list[tuple[Weights, float]], two: list[tuple[Weights, float]]) -> None:
    for (first, error), (second, other) in zip(one, two, strict=True):
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert error == other


def test_encoders_that_are_kept_are_found_again(jobs: list[TuningJob], tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    first, done = tune_encoders(jobs, folder, ignore), list[int]()
    before = files_of(folder)
    assert len(before) == len(jobs)
    assert_same(tune_encoders(jobs, folder, done.append), first)
    assert files_of(folder) == before
    assert done == [2 * len(SHOTS) * count for count in (1, 2, 3, 4)]
    tune_encoders([replace(jobs[0], seed=9)], folder, ignore)
    assert len(files_of(folder)) == len(jobs) + 1


def test_a_run_that_was_killed_leaves_what_was_done_and_the_next_tunes_the_others(jobs: list[TuningJob], tmp_path: Path) -> None:
    def killed(rows: int) -> None:
        if rows > 5 * len(SHOTS):  # in the middle of the third
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune_encoders(jobs, tmp_path, killed)
    before = files_of(tmp_path)
    assert len(before) == 2
    name = f"body-{len(SHOTS)}-{jobs[2].seed}"
    (tmp_path / f"{name}.12345").write_bytes(b"half of it")  # a write that was cut
    found = tune_encoders(jobs, tmp_path, ignore)
    after = files_of(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len([name for name in after if name.endswith(".safetensors")]) == len(jobs)
    assert_same(found, tune_encoders(jobs, None, ignore))


def test_a_process_tunes_the_same_encoder_and_tells_how_far_it_is(jobs: list[TuningJob]) -> None:
    long, here = (replace(job, settings=replace(FAST, epochs=epochs)) for job, epochs in zip(jobs, (40, 1), strict=False))
    done, at_work = list[int](), set[str]()
    STEP.set("tune")

    def report(rows: int) -> None:
        done.append(rows)
        at_work.add(STEP.get())

    by_process = tune_encoders([long], None, report)
    assert at_work == {"tune"}, "log lines of the threads name the step of the caller"
    assert done == sorted(set(done))
    assert done[-1] == 40 * len(SHOTS)
    # one small job keeps all in this process
    assert_same(by_process, tune_encoders([long, here], None, ignore)[:1])


def test_where_one_encoder_fails_the_others_are_ended(source: EncoderSource) -> None:
    """One job cannot be read; the process of the other, which would go on for long, is killed."""
    training = TrainingRows(SHOTS, one_hot(LABELS), np.ones((CLASSES, DIM), np.float32))
    long = TuningJob(source, training, FineTuningSettings(epochs=100_000), 0, "cpu")
    broken = replace(long, training=replace(training, targets=training.targets[:2]))
    before, children = children_seconds(), set(psutil.Process().children())
    with pytest.raises(FsatError, match="fine-tuning the encoder failed with exit code 1"):
        tune_encoders([long, broken], None, ignore, at_once=2)
    assert children_seconds() - before < 60
    assert set(psutil.Process().children()) <= children


def children_seconds() -> float:
    """Return the processor time of child processes that have ended. A busy machine does not change it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
