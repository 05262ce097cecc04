"""Make a virtual environment for SetFit, so that SetFit's package versions do not depend on this project's versions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from filelock import FileLock

__all__ = ["WORKER", "setfit_python"]

WORKER = Path(__file__).with_name("setfit_worker.py")

# torch is installed first and alone, so that a package index with a CPU build of this version can provide it
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
"""Versions that were tested together on Python 3.11. pip chooses the versions of all other packages."""


def setfit_python(cache: Path) -> Path:
    """Return the environment's interpreter. The environment (about 1.5 GB) is made if it is missing or has other versions.

    Raises:
        RuntimeError: the environment cannot be made. The message has the end of pip's output.
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
