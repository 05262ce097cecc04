"""A model that costs nothing, whose answers depend on the text alone; and, as a program, a process that labels with it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fsat_tasks.models.served import Answered, ServedModel
from fsat_tasks.store import Recipe, Store
from fsat_tasks.targets.one_label import OneLabelTarget
from fsat_tasks.targets.target import Rule
from fsat_tasks.tasks.task import Task, load_task
from fsat_tasks.traffic.labelling import SHARD, Labeller

LONG = 1000
"""Number of characters that the model reads."""


class StubModel(ServedModel):
    """A model of three classes.

    Args:
        die_at: number of the call of `run`, from 0, at which it kills its process.
        log: file to which each call adds a line with its number of texts.
        seconds: seconds that each call takes.
    """

    def __init__(self, die_at: int = -1, log: str = "", seconds: float = 0.0) -> None:
        self.target, self.rule, self.scope_threshold = OneLabelTarget(), Rule(["a", "b", "c"], {"0.9": 0.6}), 0.2
        self.die_at, self.log, self.seconds = die_at, log, seconds
        self.calls = 0

    def answer(self, inputs: Sequence[str]) -> Answered:
        import numpy as np

        time.sleep(self.seconds)
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{len(inputs)}\n")
        if self.calls == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.calls += 1
        bits = [hashlib.sha256(text.encode()).digest() for text in inputs]
        p = np.array([[one[0] + 1, one[1] + 1, one[2] + 1] for one in bits], np.float32).reshape(-1, 3)
        scope = np.array([one[3] / 255 for one in bits], np.float32)
        return Answered(p / p.sum(axis=1, keepdims=True), scope, np.array([len(text) > LONG for text in inputs], bool))

    def say_cut(self, cut: int, rows: int) -> str:
        return f"{cut} of {rows} cut"


def stub_labeller(task: Task, store: Store, stub: StubModel, shard_rows: int = SHARD, version: int = 1) -> Labeller:
    """Return a labeller whose model is the stub. Only the digest of the model's artefact matters."""
    model = store.build(Recipe("export", version, {}, {}), lambda folder: (folder / str(version)).touch())
    return Labeller(task, store, model, lambda folder: stub, shard_rows)


def start_labelling(
    task: str, file: Path, die_at: int = -1, log: str = "", shard: int = 10, seconds: float = 0
) -> subprocess.Popen[str]:
    """Start a process that labels a file in shards. Its FSAT_DATA and FSAT_STORE are those of this process."""
    arguments = map(str, (task, file, die_at, log, shard, seconds))
    return subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[str, bool, int]:
    """Return the process's results: digest, True if the artefact was built, and peak memory in KB."""
    said, error = process.communicate()
    assert process.returncode == 0, error
    digest, built, peak = said.split()
    return digest, built == "True", int(peak)


def main(task: str, file: str, die_at: str, log: str, shard: str, seconds: str) -> None:
    stub, store = StubModel(int(die_at), log, float(seconds)), Store(Path(os.environ["FSAT_STORE"]))
    result = stub_labeller(load_task(task), store, stub, int(shard)).label(Path(file))
    with Path("/proc/self/status").open() as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    sys.stdout.write(f"{result.digest} {result.built} {peak}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
