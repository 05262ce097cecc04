"""Progress of long work: a bar on a terminal, or a log line every few seconds elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator

__all__ = ["show_progress"]

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0


@contextlib.contextmanager
def show_progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Context manager that yields a function. The caller reports progress by calling it with the number of rows done so far.

    Args:
        label: name of the work.
        total: number of rows in all.
    """
    if not sys.stderr.isatty():
        yield _logger(label, total)
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn("rows, {task.fields[rate]:.0f} rows/s,")
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), rate, TimeRemainingColumn())
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        work = bar.add_task(label, total=total, rate=0.0)
        yield lambda done: bar.update(work, completed=done, rate=done / max(time.monotonic() - started, 1e-9))


def _logger(label: str, total: int) -> Callable[[int], None]:
    started = last = time.monotonic()

    def report(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= SECONDS_BETWEEN_LINES:
            last = now
            rate = max(done, 1) / max(now - started, 1e-9)
            log.info("%s: %s of %s rows, %.0f rows/s, %.0f s left", label, done, total, rate, (total - done) / rate)

    return report
