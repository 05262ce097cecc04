"""Write docker/*.lock: the packages that the images install, with version and the sha256 of every file on PyPI.

`make lock` calls it. Versions come from constraints.txt. A package that is not there, such as CUDA's libraries, gets the newest
version that fits.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON, PLATFORM = "3.11.14", "x86_64-manylinux_2_28"
"""Python version and platform of the images."""
CUDA = re.compile(r"torch|triton|(nvidia|cuda)-.*")
"""torch, and packages that only its build for CUDA needs. They have a lock file of their own, because other builds of torch come
from an index of their own."""


SPEC = re.compile(r"croniter|pydantic|ruamel\.yaml")
"""Packages that reading a task.yaml needs. The DAG files read it for its schedules."""


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    own = project["project"]["dependencies"]
    control = [*extras["airflow"], *extras["distributed"], *extras["kubernetes"], *(one for one in own if SPEC.match(one))]
    worker = compiled([*own, *control, *extras["dvc"]])
    write("build", compiled(project["build-system"]["requires"]))
    write("control", compiled(control))
    write("worker", {name: entry for name, entry in worker.items() if not CUDA.fullmatch(name)})
    write("cuda", {name: entry for name, entry in worker.items() if CUDA.fullmatch(name)})


def compiled(requirements: list[str]) -> dict[str, str]:
    """Resolve requirements. Returns package -> its lines of a requirements file."""
    command = [
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--no-config",
        "--no-header",
        "--no-annotate",
        "--generate-hashes",
        "--constraint",
        "constraints.txt",
        "--python-version",
        PYTHON,
        "--python-platform",
        PLATFORM,
        "-",
    ]
    done = subprocess.run(command, cwd=ROOT, input="\n".join(requirements), stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    entries = re.split(r"^(?=\w)", done.stdout, flags=re.MULTILINE)[1:]
    return {entry.split("==")[0]: entry for entry in entries}


def write(name: str, entries: dict[str, str]) -> None:
    text = "# Written by docker/lock.py: make lock. pip checks every file that it installs against these.\n"
    (ROOT / "docker" / f"{name}.lock").write_text(text + "".join(entries.values()), "utf-8")


if __name__ == "__main__":
    main()
