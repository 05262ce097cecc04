"""Progress of long work: a bar on a terminal, a line in the log every few seconds elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator

__all__ = ["progress"]

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0


@contextlib.contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes the number of rows done so far."""
    if not sys.stderr.isatty():
        yield _logger(label, total)
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TextColumn("rows,"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        work = bar.add_task(label, total=total)
        yield lambda done: bar.update(work, completed=done)


def _logger(label: str, total: int) -> Callable[[int], None]:
    started = last = time.monotonic()

    def report(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= SECONDS_BETWEEN_LINES:
            last = now
            log.info("%s: %s of %s rows, %.0f rows/s", label, done, total, done / max(now - started, 1e-9))

    return report
