"""Run one cell: one method on one data set, with one number of shots, one split and one track.

A cell runs in its own process and writes one file.

python -m benchmarks.cells REQUEST.json FIGURES.json (started by `run_cell`)
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Cell", "Settings", "is_done", "read_cells", "run_cell", "run_module"]

ROOT = Path(__file__).parents[1]
SHOWN_OF_AN_ERROR = 600  # characters


@dataclass(frozen=True)
class Settings:
    """Settings that all cells of a run share. Paths of folders are not written into results, because they name this machine."""

    data: Path
    out: Path
    cache: Path
    encoder: str
    encoder_revision: str
    setfit_steps: int
    budget_seconds: float
    cell_seconds: float | None
    commit: str


@dataclass(frozen=True)
class Cell:
    method: str
    set: str
    shots: int
    split: str  # fixed or seed-N
    track: str
    data_digest: str

    def path(self, out: Path) -> Path:
        return out / "cells" / f"{self.set}--{self.shots}--{self.split}--{self.track}--{self.method}.json"

    @property
    def seed(self) -> int:
        return 0 if self.split == "fixed" else int(self.split.removeprefix("seed-"))

    def spec(self, settings: Settings) -> dict[str, Any]:
        """Return everything on which the figures depend, except the code. A cell with the same spec need not run again."""
        spec = {**asdict(self), "encoder": Path(settings.encoder).name, "encoder_revision": settings.encoder_revision}
        if self.method == "setfit":
            spec["setfit_steps"] = settings.setfit_steps
        if self.method == "fsat-ladder":
            spec["budget_seconds"] = settings.budget_seconds
        return spec


def is_done(cell: Cell, settings: Settings) -> bool:
    """Return whether a cell with the same spec has ended without an error. Failed cells run again."""
    path = cell.path(settings.out)
    if not path.is_file():
        return False
    stored = json.loads(path.read_text("utf-8"))
    return bool(stored["error"] is None and stored["spec"] == cell.spec(settings))


def read_cells(out: Path) -> list[dict[str, Any]]:
    """Read all cells of the results folder, in the order of their file names."""
    return [json.loads(path.read_text("utf-8")) for path in sorted((out / "cells").glob("*.json"))]


def run_cell(cell: Cell, settings: Settings, refused: str | None = None) -> str | None:
    """Run a cell and write its file atomically. Return the error of the cell, or None if it succeeded.

    Args:
        refused: an error that is known before the run. If it is given, the cell is recorded as failed and is not run.
    """
    started, load = time.perf_counter(), round(os.getloadavg()[0], 2)
    figures: dict[str, Any] = {}
    error = refused
    if refused is None:
        with tempfile.TemporaryDirectory() as folder:
            request, answer = Path(folder) / "request.json", Path(folder) / "figures.json"
            shared = {
                "data": str(settings.data),
                "cache": str(settings.cache),
                "encoder": settings.encoder,
                "setfit_steps": settings.setfit_steps,
                "budget_seconds": settings.budget_seconds,
            }
            request.write_text(json.dumps({"cell": asdict(cell), **shared}), "utf-8")
            error = run_module("benchmarks.cells", str(request), str(answer), seconds=settings.cell_seconds)
            if error is None:
                figures = json.loads(answer.read_text("utf-8"))
    record = {
        "spec": cell.spec(settings),
        "error": error,
        "figures": figures,
        "commit": settings.commit,
        "wall_seconds": round(time.perf_counter() - started, 3),
        "load_average": load,
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
    }
    path = cell.path(settings.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", "utf-8")
    part.replace(path)
    return error


def run_module(module: str, *arguments: str, seconds: float | None = None) -> str | None:
    """Run a module of this package, and return the end of its error output if it failed.

    The module gets its own process group, so that the processes that it starts, such as SetFit, end when the module ends.

    Args:
        seconds: time limit; none by default.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"stopped after {seconds:.0f} s, the bound of a cell"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if code == 0:
            return None
        said.seek(0)
        words = said.read().decode("utf-8", "replace").strip()
        ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"{ended}: {words[-SHOWN_OF_AN_ERROR:]}"


def _peak_megabytes() -> float:
    """Return this process's peak memory in MB.

    VmHWM is preferred, because in a new process ru_maxrss starts with the memory of the parent process.
    """
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.is_file() else []:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def main() -> None:
    from benchmarks.data import load_split
    from benchmarks.methods import METHODS
    from benchmarks.outcome import Context, figures

    request = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    cell = Cell(**request["cell"])
    folder = Path(request["data"]) / cell.set
    context = Context(
        folder,
        Path(request["cache"]),
        request["encoder"],
        cell.track,
        cell.seed,
        request["setfit_steps"],
        request["budget_seconds"],
    )
    rows = load_split(folder, cell.shots, cell.split)
    outcome = METHODS[cell.method].run(rows, context)
    answer = {**figures(outcome, rows), "peak_megabytes": outcome.peak_megabytes or _peak_megabytes()}
    Path(sys.argv[2]).write_text(json.dumps(answer, default=_as_json), "utf-8")


def _as_json(value: Any) -> Any:
    """Convert a number of numpy, or a dataclass of a ladder's trace, to a JSON value."""
    return value.item() if hasattr(value, "item") else asdict(value)


if __name__ == "__main__":
    main()
