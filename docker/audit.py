"""Name the base images that are not pinned, and ask PyPI with pip-audit for known vulnerabilities of the packages in the images.

`make lint` calls this script. Exit code 1 means that there is a vulnerability which audit-ignore.txt beside this file does not
list. If PyPI's advisories cannot be reached, because there is no network or only a mirror of the packages, the check is skipped
and passes.
"""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

DOCKER = Path(__file__).parent
LOCKS = ("worker.lock", "cuda.lock")  # worker.lock also has the packages of control.lock
REFERENCE = re.compile(r"^\s*(?:FROM|image:) +([\w./-]+:[\w.-]+)(?!\S*@sha256:)", re.MULTILINE)
"""Pattern of an image from a registry that is named by its tag alone."""


def main() -> int:
    for name in unpinned():
        print(f"{name}: named by tag alone; docker/README.md says how to pin it by sha256")  # noqa: T201
    try:  # one request first, because hundreds of requests without an answer would take minutes
        urllib.request.urlopen("https://pypi.org/pypi/six/1.17.0/json", timeout=5).close()
    except OSError as error:
        print(f"pip-audit: skipped, PyPI's advisories are not to be had here ({error})")  # noqa: T201
        return 0
    files = [f"--requirement={DOCKER / name}" for name in LOCKS]
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner=off", *files]
    return subprocess.run([*command, *(f"--ignore-vuln={name}" for name in ignored())], check=False).returncode  # noqa: S603


def unpinned() -> list[str]:
    """Return the images from registries that the Dockerfiles and compose.yaml name without a digest."""
    files = [*sorted(DOCKER.glob("*.Dockerfile")), DOCKER / "compose.yaml"]
    return sorted({name for file in files for name in REFERENCE.findall(file.read_text("utf-8"))})


def ignored() -> list[str]:
    """Return the vulnerabilities to ignore: the first word of each line of audit-ignore.txt. The rest of a line says why."""
    lines = (DOCKER / "audit-ignore.txt").read_text("utf-8").splitlines()
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]


if __name__ == "__main__":
    sys.exit(main())
