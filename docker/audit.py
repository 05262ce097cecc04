"""Ask PyPI with pip-audit whether a vulnerability is known of anything that the images install. `make lint` calls it.

Exit code 1: one is, and audit-ignore.txt beside this file does not list it. Where PyPI cannot be asked, nothing is, which is no
failure: without a network, or where a mirror has its packages but not its advisories.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path

DOCKER = Path(__file__).parent
LOCKS = ("worker.lock", "cuda.lock")  # what control.lock has is in the first


def main() -> int:
    try:  # one question first: hundreds without an answer would take minutes
        urllib.request.urlopen("https://pypi.org/pypi/six/1.17.0/json", timeout=5).close()
    except OSError as error:
        print(f"pip-audit: skipped, PyPI's advisories are not to be had here ({error})")  # noqa: T201
        return 0
    files = [f"--requirement={DOCKER / name}" for name in LOCKS]
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner=off", *files]
    return subprocess.run([*command, *(f"--ignore-vuln={name}" for name in ignored())], check=False).returncode  # noqa: S603


def ignored() -> list[str]:
    """The first word of each line of audit-ignore.txt; the rest says why it does not matter here."""
    lines = (DOCKER / "audit-ignore.txt").read_text("utf-8").splitlines()
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]


if __name__ == "__main__":
    sys.exit(main())
