"""Measure the memory of one process that serves many champions of one encoder.

python -m benchmarks.many_models [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.cells import ROOT
from benchmarks.command import about, add_out_option, save

TASK = "support-intents"
COUNTS = (1, 5, 10, 25, 50)
PRECISIONS = ("fp32", "int8")
TEXT = "my card has not arrived"


def make_model(folder: Path) -> Path:
    """Tune the demo task without its pool and without fine-tuning, and return the folder of its model."""
    from fsat_tasks.steps.pipeline import run_steps
    from fsat_tasks.tasks.task import load_task

    data = folder / "data" / TASK
    data.mkdir(parents=True)
    shutil.copy(ROOT / "data" / TASK / "samples.csv", data)
    (data / "task.yaml").write_text("{samples: samples.csv, tune: {body: 'off'}}\n", "utf-8")
    os.environ |= {"FSAT_DATA": str(folder / "data"), "FSAT_STORE": str(folder / "store")}
    return run_steps(load_task(TASK), "export")["export"].path


def measure(model: Path, precision: str) -> list[float]:
    """Measure the resident memory in MB after each of COUNTS models has been opened and has answered one text.

    The same file is opened again for each model. Sessions of ONNX Runtime share no memory, so other files would take as much.
    """
    from fsat_tasks.models.served import ServedModel
    from fsat_tasks.models.variants import FILES

    opened, memory = [], []
    for number in range(1, max(COUNTS) + 1):
        opened.append(ServedModel(model, FILES[precision]))
        opened[-1].run([TEXT])
        if number in COUNTS:
            memory.append(_resident_mb())
    return memory


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def markdown(results: dict[str, Any]) -> str:
    """Return the results page."""
    place, memory, size = results["machine"], results["resident_mb"], results["file_mb"]
    each = {name: (figures[-1] - figures[0]) / (COUNTS[-1] - COUNTS[0]) for name, figures in memory.items()}
    rows = [(f"{name}, a file of {size[name]:.0f} MB", *memory[name], each[name]) for name in PRECISIONS]
    return (
        "\n".join(
            [
                "# Many models in one process",
                "",
                "Written by `python -m benchmarks.many_models`.",
                "",
                f"{place['cpu']}, {place['cores']} cores, {place['ram_gb']} GB; commit {results['commit']}.",
                "",
                "Resident memory in MB of a process that has opened so many champions with the encoder all-MiniLM-L6-v2.",
                "Each of them has answered one text.",
                "",
                "| graph | " + " | ".join(map(str, COUNTS)) + " | each |",
                "| --- |" + " --- |" * (len(COUNTS) + 1),
                *(f"| {name} | " + " | ".join(f"{figure:,.0f}" for figure in figures) + " |" for name, *figures in rows),
            ]
        )
        + "\n"
    )


def main() -> int:
    """Return the exit code, 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_models", description=__doc__.splitlines()[0])
    add_out_option(parser)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--precision", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.model is not None:  # a process of its own measures each graph
        print(json.dumps(measure(options.model, options.precision)))
        return 0
    facts = about()
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(Path(folder))
        results = facts | {"resident_mb": {}, "file_mb": {}}
        for precision in PRECISIONS:
            command = [sys.executable, "-m", "benchmarks.many_models", "--model", str(model), "--precision", precision]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            results["resident_mb"][precision] = json.loads(done.stdout)
            file = model / ("model.onnx" if precision == "fp32" else f"model-{precision}.onnx")
            results["file_mb"][precision] = file.stat().st_size / 1e6
    save(options.out, "many_models", results, markdown(results))
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
