"""Ask the Airflow component of this container whether it is healthy. Docker's HEALTHCHECK calls this file in both images.

It uses the standard library only. Exit code 0: healthy, or no Airflow component runs here (`fsat`, a shell). Else: not healthy.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

_COMPONENT = re.compile(r"\bairflow (celery worker|api-server|scheduler|dag-processor|triggerer|standalone)\b")
_JOBS = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}
_SECONDS = 30  # less than the HEALTHCHECK's own timeout, so that the reason is printed


def component(command_line: str) -> str | None:
    """Return the last Airflow component that a command line starts: `airflow db migrate && airflow scheduler` is a scheduler."""
    found = _COMPONENT.findall(command_line)
    return found[-1] if found else None


def main() -> int | str:
    """Return 0, or a message that says what is wrong."""
    name = component(Path("/proc/1/cmdline").read_text().replace("\0", " "))
    try:
        if name is None:
            return 0
        if name in _JOBS:
            return _ask("airflow", "jobs", "check", "--job-type", _JOBS[name], "--local")
        if name == "celery worker":
            app = "airflow.providers.celery.executors.celery_executor.app"
            return _ask("celery", "--app", app, "inspect", "ping", "--destination", f"celery@{socket.gethostname()}")
        return _ask_server(every_part=name == "standalone")
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{name}: no answer: {error}"


def _ask(*command: str) -> int:
    return min(1, abs(subprocess.run(command, timeout=_SECONDS, check=False).returncode))  # noqa: S603 (words of this file only)


def _ask_server(every_part: bool) -> int | str:
    """Read the api-server's health page. An api-server is healthy if its database is, standalone if all parts are."""
    port = os.environ.get("AIRFLOW__API__PORT", "8080")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=_SECONDS) as answer:
        parts = json.load(answer)
    ill = [part for part in (parts if every_part else ["metadatabase"]) if parts[part]["status"] not in ("healthy", None)]
    return f"not well: {', '.join(ill)}" if ill else 0


if __name__ == "__main__":
    sys.exit(main())
