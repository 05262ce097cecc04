"""Progress of long work: one moving line on a terminal, or a log line every few seconds elsewhere. Quick work has no line.

Both are shown only if this module's logger shows lines of the level INFO, as the command line's log does.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fsat_tasks.runtime.logs import in_json

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["clock", "show_progress", "show_work"]

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0
QUICK = 0.5
"""Seconds that work takes at least before a terminal has a line of it."""


@contextlib.contextmanager
def show_work(label: str) -> Iterator[None]:
    """Context manager: on a terminal, a line with this label and the time so far moves while the block runs.

    Only one line moves at a time. Work within this work adds its label to the line.
    """
    with _line_with(_Part(label)):
        yield


@contextlib.contextmanager
def show_progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Context manager that yields a function. The caller reports progress by calling it with the number of rows done so far.

    Args:
        label: name of the work.
        total: number of rows in all; None if nobody knows.
    """
    if not _moves():
        yield _logger(label, total)
        return
    with _line_with(part := _Part(label, total)):
        yield part.report


@dataclass
class _Part:
    """Part of the moving line: a work within the work before it."""

    label: str
    total: int | None = None
    """Number of rows in all; None if nobody knows, or if rows are not counted."""
    done: int = 0
    started: float = field(default_factory=time.monotonic)

    def report(self, done: int) -> None:
        self.done = done

    def words(self, outer: str) -> str:
        """Return label, count and time left. A label that the outer work has too is left out."""
        if self.total is None:
            return f"{self.label}: {self.done:,} done" if self.done else self.label
        label = "" if outer.startswith(self.label) else f"{self.label}: "
        said = f"{label}{self.done:,} of {self.total:,}"
        spent = time.monotonic() - self.started
        return f"{said}, {clock(spent / self.done * (self.total - self.done))} left" if self.done else said


class _Line:
    """The moving line on standard error."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        self.parts: list[_Part] = []
        self._started, self._spinner = time.monotonic(), Spinner("dots")
        console = Console(file=sys.stderr)  # this very stream, because the export of a graph redirects standard error for a while
        self._width = console.width - 3  # the spinner, a blank, and the cursor
        self.live = Live(console=console, transient=True, redirect_stdout=False, get_renderable=self._render)

    def _render(self) -> RenderableType:
        from rich.text import Text

        spent = time.monotonic() - self._started
        if spent < QUICK:
            return Text()
        self._spinner.update(text=Text(self.words(clock(spent)), no_wrap=True))
        return self._spinner

    def words(self, spent: str) -> str:
        """Return the line. If it is too long, the outer work is left out, because the inner work is what moves."""
        outer = ["", *(part.label for part in self.parts)]
        said = [part.words(before) for part, before in zip(self.parts, outer, strict=False)]
        room = self._width - len(spent) - 2
        while len(said) > 1 and len(" · ".join(said)) > room:
            said.pop(0)
        whole = " · ".join(said)
        return f"{whole if len(whole) <= room else whole[: room - 1] + '…'}  {spent}"


_SHOWN: ContextVar[_Line | None] = ContextVar("fsat_moving_line", default=None)


@contextlib.contextmanager
def _line_with(part: _Part) -> Iterator[None]:
    line = _SHOWN.get()
    if line is None and _moves():
        line = _Line()
        former = _SHOWN.set(line)
        try:
            with line.live, _line_with(part):
                yield
        finally:
            _SHOWN.reset(former)
    elif line is None:
        yield
    else:
        line.parts.append(part)
        try:
            yield
        finally:
            line.parts.remove(part)


def _moves() -> bool:
    return log.isEnabledFor(logging.INFO) and sys.stderr.isatty() and not in_json()


def clock(seconds: float) -> str:
    """Return seconds as on a clock: `0:07`, `12:34`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _logger(label: str, total: int | None) -> Callable[[int], None]:
    started = last = time.monotonic()

    def report(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES or (done == total and last > started):
            last = now
            rate = max(done, 1) / max(now - started, 1e-9)
            if total is None:
                log.info("%s: %s rows, %.0f rows/s", label, done, rate)
            else:
                log.info("%s: %s of %s rows, %.0f rows/s, %.0f s left", label, done, total, rate, (total - done) / rate)

    return report
