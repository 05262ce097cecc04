"""What every line of fsat's log carries: the run, and the task and step that are at work.

In Airflow's processes these join Airflow's own fields; on the command line they are put before the message, or with
FSAT_LOG=json every line is a JSON object.
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
from uuid import uuid4

from fsat_tasks.errors import InputError

__all__ = ["at_work", "configure", "hide_logins", "in_json"]

VARIABLE = "FSAT_LOG"
_FIELDS: ContextVar[Mapping[str, str]] = ContextVar("fsat_log_fields")


@contextmanager
def at_work(task: str, step: str) -> Iterator[None]:
    """Until it ends, what this thread logs says which task and step, and so does a note of the error that ends it."""
    fields = {"task": task, "step": step}
    with ExitStack() as stack:
        if structlog := sys.modules.get("structlog"):  # Airflow's logs are structlog's; no other process of ours loads it
            stack.enter_context(structlog.contextvars.bound_contextvars(**fields))
        stack.callback(_FIELDS.reset, _FIELDS.set({**_FIELDS.get({}), **fields}))
        try:
            yield
        except Exception as error:
            error.add_note(f"In the step {step} of the task {task}.")
            raise


def in_json() -> bool:
    """Whether the command line is to log JSON. Raises InputError where FSAT_LOG says neither that nor text."""
    said = os.environ.get(VARIABLE) or "text"
    if said not in ("text", "json"):
        raise InputError(VARIABLE, "text or json", repr(said))
    return said == "json"


def configure() -> bool:
    """Set up the command line's log, on standard error: warnings as text, or from INFO on as JSON lines; whether as these.

    Raises:
        InputError: where FSAT_LOG says neither.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_add_fields)
    json_lines = in_json()
    if json_lines:
        logging.getLogger("fsat_tasks").setLevel(logging.INFO)
        handler.setFormatter(_JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(at)s%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    return json_lines


def hide_logins(text: str) -> str:
    """The text with `***` for name and password in every address."""
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)


def _add_fields(record: logging.LogRecord) -> bool:
    record.fields = fields = _FIELDS.get({})
    record.at = f"{' '.join(fields.values())}: " if fields else ""
    return True


class _JsonLines(logging.Formatter):
    run = uuid4().hex[:12]
    """Of this process: its lines among those of others."""

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
        return json.dumps(line, ensure_ascii=False)
