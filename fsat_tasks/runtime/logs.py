"""Logging: each line of fsat's log names the current task and step.

In Airflow's processes, the task and the step become fields of Airflow's own log. On the command line they stand
before the message. With FSAT_LOG=json each line is a JSON object, which also holds an id of the process.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO
from uuid import uuid4

from fsat_tasks.errors import InputError
from fsat_tasks.runtime.printable import printable

__all__ = ["LONG_WORK", "at_work", "configure", "hide_logins", "in_json"]

VARIABLE = "FSAT_LOG"
LONG_WORK = ("fsat_tasks.runtime.progress", "fsat_tasks.tuning")
"""Loggers that say what a long step is doing, and what it has planned."""
_FIELDS: ContextVar[Mapping[str, str]] = ContextVar("fsat_log_fields")


@contextmanager
def at_work(task: str, step: str) -> Iterator[None]:
    """Context manager that adds the task and the step to this thread's log lines and to an error that leaves the block."""
    fields = {"task": task, "step": step}
    with ExitStack() as stack:
        if structlog := sys.modules.get("structlog"):  # Airflow logs through structlog; fsat alone never loads it
            stack.enter_context(structlog.contextvars.bound_contextvars(**fields))
        stack.callback(_FIELDS.reset, _FIELDS.set({**_FIELDS.get({}), **fields}))
        try:
            yield
        except Exception as error:
            error.add_note(f"In the step {step} of the task {task}.")
            raise


def in_json() -> bool:
    """Return whether FSAT_LOG asks for JSON. Raises InputError if FSAT_LOG is neither `text` nor `json`."""
    value = os.environ.get(VARIABLE) or "text"
    if value not in ("text", "json"):
        raise InputError(VARIABLE, "text or json", repr(value))
    return value == "json"


def configure() -> bool:
    """Set up the command line's log on standard error: JSON lines from INFO on; or text from WARNING on, for long work from INFO.

    A line of text has the time and the words, and no name of a module. Airflow's own log has these names.

    Returns:
        Whether the log is JSON lines.

    Raises:
        InputError: if FSAT_LOG is neither `text` nor `json`.
    """
    handler = _StderrHandler()
    handler.addFilter(_add_fields)
    json_lines = in_json()
    if json_lines:
        logging.getLogger("fsat_tasks").setLevel(logging.INFO)
        handler.setFormatter(_JsonLines())
    else:
        for name in LONG_WORK:
            logging.getLogger(name).setLevel(logging.INFO)
        handler.setFormatter(_Text("%(asctime)s %(grade)s%(at)s%(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    return json_lines


def hide_logins(text: str) -> str:
    """Return the text with the user name and password of every URL replaced by `***`."""
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)


def _add_fields(record: logging.LogRecord) -> bool:
    record.fields = fields = _FIELDS.get({})
    record.at = f"{' '.join(fields.values())}: " if fields else ""
    record.grade = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
    return True


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Handler that writes to what standard error is at the time, so that a line stands above a moving line, not in it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # logging itself has such a handler, which is private
        return sys.stderr


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _JsonLines(logging.Formatter):
    run = uuid4().hex[:12]
    """Id of this process. It distinguishes the lines of several processes in the same log."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "run": self.run,
            **getattr(record, "fields", {}),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return printable(json.dumps(line, ensure_ascii=False))
