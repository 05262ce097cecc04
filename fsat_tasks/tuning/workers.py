"""Fine-tuning of encoders side by side, each in its own process with one thread.

Two threads that tune one small encoder mostly wait for each other. Both together are only 1.1 times as fast as one thread. On a
busy machine they are many times slower than one. If each thread tunes an encoder of its own, none waits. The result does not
depend on the number of cores.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from fsat_tasks.encoders.prepare import pack_rows, unpack_rows
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.errors import FsatError, OutOfMemoryError
from fsat_tasks.runtime.machine import available_cores
from fsat_tasks.tuning.jobs import FineTuningSettings, TrainingRows, TuningJob

if TYPE_CHECKING:
    from fsat_tasks.tuning.fine_tuning import Weights

__all__ = ["tune_encoders"]

WORTH_A_PROCESS = 6_000
"""Minimum size of all training rows together, for which a process is started. A process takes some seconds to start."""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
"""Environment variables of the processes. They make malloc keep freed memory for the next step. Without them, a third
of the time was spent on getting memory pages from the system again."""
NO_MEMORY = ("MemoryError", "out of memory", "not enough memory", "can't allocate memory")
"""Words with which Python, CUDA and torch's allocators report a lack of memory."""


def tune_encoders(
    jobs: Sequence[TuningJob], checkpoints: Path | None, report: Callable[[int], None], at_once: int | None = None
) -> list[tuple[Weights, float]]:
    """Fine-tune one encoder for each job. For each, return the weights and the orthogonality error.

    Args:
        jobs: encoders to fine-tune.
        checkpoints: folder for the weights. If a run is killed, the next run does not tune the encoders again whose
            weights are in this folder.
        report: function that is called with the number of rows done so far, summed over all jobs.
        at_once: maximum number of processes at the same time; by default one for each core.

    Raises:
        OutOfMemoryError: if there is not enough memory for an encoder.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = checkpoints or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / f"body-{len(job.training)}-{job.seed}.safetensors" for job in jobs]
        done = [0] * len(jobs)
        lock = threading.Lock()
        here = any(map(_in_this_process, jobs))
        processes = _Processes()
        tune = _tune_here if here else processes.tune

        def finish(at: int) -> None:
            def count(rows: int) -> None:
                with lock:
                    done[at] = rows
                    report(sum(done))

            if files[at].is_file():
                count(jobs[at].settings.epochs * len(jobs[at].training))
            else:
                tune(jobs[at], files[at], count)

        if here:
            for at in range(len(jobs)):
                finish(at)
        else:
            with ThreadPoolExecutor(at_once or available_cores()) as pool:
                # each thread gets the caller's context, so that its log lines name the task and the step
                work = [pool.submit(copy_context().run, finish, at) for at in range(len(jobs))]
                try:
                    for done_work in as_completed(work):
                        done_work.result()
                except BaseException:  # one job has failed, so nobody needs the results of the remaining jobs
                    pool.shutdown(wait=False, cancel_futures=True)
                    processes.kill()
                    raise
        return [_read(file) for file in files]


def _in_this_process(job: TuningJob) -> bool:
    size = job.settings.epochs * sum(row.size for row in job.training.rows)
    return job.device == "cuda" or size < WORTH_A_PROCESS


def _tune_here(job: TuningJob, file: Path, report: Callable[[int], None]) -> None:
    from safetensors.torch import save

    from fsat_tasks.tuning.fine_tuning import fine_tune, load_torch_encoder, one_thread_each, tuned_weights

    try:
        encoder = load_torch_encoder(job.source, job.device)
        with one_thread_each():
            error = fine_tune(encoder, job.training, job.settings, job.seed, report)
    except (MemoryError, RuntimeError) as failure:
        if _is_memory(repr(failure)):
            raise OutOfMemoryError(f"not enough memory to fine-tune the encoder on {len(job.training)} rows") from failure
        raise
    unfinished = file.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(save(tuned_weights(encoder), {"orthogonality_error": str(error)}))
    unfinished.replace(file)


def _is_memory(message: str) -> bool:
    return any(words in message for words in NO_MEMORY)


class _Processes:
    """Processes that fine-tune. `kill` ends all of them when one has failed."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._ended = False

    def kill(self) -> None:
        with self._lock:
            self._ended = True
            for process in self._running:
                process.kill()

    def tune(self, job: TuningJob, file: Path, report: Callable[[int], None]) -> None:
        """Run this module in a new process, on files that describe the job. The process prints the number of rows done so far."""
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            _write_job(job, file, folder)
            with (folder / "errors.txt").open("w+", encoding="utf-8") as errors:
                code = self._run([sys.executable, "-P", "-m", "fsat_tasks.tuning.workers", str(folder)], errors, report)
                errors.seek(0)
                message = errors.read()
        if code == -signal.SIGKILL or (code != 0 and _is_memory(message)):
            raise OutOfMemoryError(f"not enough memory to fine-tune the encoder on {len(job.training)} rows")
        if code != 0:
            raise FsatError(f"fine-tuning the encoder failed with exit code {code}: {message[-2000:]}")

    def _run(self, command: list[str], errors: TextIO, report: Callable[[int], None]) -> int:
        with self._lock:
            if self._ended:
                return 1
            process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | ENVIRONMENT
            )
            self._running.add(process)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                report(int(line))
            return process.wait()
        finally:
            process.kill()  # no effect if the process has ended
            process.wait()
            with self._lock:
                self._running.discard(process)


def _write_job(job: TuningJob, file: Path, folder: Path) -> None:
    arrays = {"targets": job.training.targets, "class_vectors": job.training.class_vectors}
    rows = pack_rows(job.training.rows)
    for name, array in [*arrays.items(), *((f"rows-{name}", array) for name, array in rows.items())]:
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    plain = {
        "source": asdict(replace(job.source, folder=Path())) | {"folder": str(job.source.folder)},
        "settings": asdict(job.settings),
        "seed": job.seed,
        "device": job.device,
        "file": str(file),
    }
    (folder / "job.json").write_text(json.dumps(plain | {"parent": os.getpid()}, default=str), "utf-8")


def _read_job(folder: Path) -> tuple[TuningJob, dict[str, Any]]:
    """Return the job in a folder, and the content of its job.json."""
    plain = json.loads((folder / "job.json").read_text("utf-8"))
    arrays = {path.stem: np.load(path, allow_pickle=False) for path in folder.glob("*.npy")}
    rows = unpack_rows({name.removeprefix("rows-"): array for name, array in arrays.items() if name.startswith("rows-")})
    source = EncoderSource(**(plain["source"] | {"folder": Path(plain["source"]["folder"])}))
    training = TrainingRows(rows, arrays["targets"], arrays["class_vectors"])
    return TuningJob(source, training, FineTuningSettings(**plain["settings"]), plain["seed"], plain["device"]), plain


def _read(file: Path) -> tuple[Weights, float]:
    from safetensors import safe_open

    with safe_open(file, "pt") as tensors:
        weights = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
        return weights, float(tensors.metadata()["orthogonality_error"])


def _main(folder: Path) -> None:
    job, plain = _read_job(folder)

    def report(rows: int) -> None:
        if os.getppid() != plain["parent"]:  # the parent has ended
            sys.exit(1)
        print(rows, flush=True)  # noqa: T201

    _tune_here(job, Path(plain["file"]), report)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
