"""The environment that SetFit runs in, made once: its versions are then free of this project's, and the other way round."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from filelock import FileLock

__all__ = ["WORKER", "setfit_python"]

WORKER = Path(__file__).with_name("setfit_worker.py")

# torch comes first and alone, so that a machine without a GPU that offers a CPU build of this version gets it
INSTALLS = (
    ("torch==2.13.0",),
    (
        "setfit==1.2.0",
        "sentence-transformers==6.2.0",
        "transformers==5.23.0",
        "datasets==5.2.0",
        "accelerate==1.15.0",
        "evaluate==0.4.6",
        "scikit-learn==1.9.1",
        "numpy==2.4.6",
    ),
)
"""Tried together on Python 3.11; the others are what pip takes with them."""


def setfit_python(cache: Path) -> Path:
    """Its interpreter; the environment (about 1.5 GB) is made where it is not there yet, or not of these versions.

    Raises:
        RuntimeError: with pip's last words, where it cannot be made.
    """
    folder = cache / "setfit"
    python, done = folder / "bin" / "python", folder / "installed.txt"
    wanted = "\n".join(requirement for line in INSTALLS for requirement in line)
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "setfit.lock"):
        if done.is_file() and done.read_text("utf-8") == wanted:
            return python
        done.unlink(missing_ok=True)
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        for line in INSTALLS:
            _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *line)
        done.write_text(wanted, "utf-8")
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"SetFit's environment cannot be made: {' '.join(command[1:5])}: {done.stderr.strip()[-500:]}")
