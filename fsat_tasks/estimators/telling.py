"""Messages of an estimator to people: its progress while it is fitted, and what it has reached."""

from __future__ import annotations

import html
import logging
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fsat_tasks.runtime.logs import LONG_WORK

__all__ = ["as_html", "as_sentence", "telling"]

WIDTH = 79
Reached = Mapping[str, str]
"""Name of a figure -> its value in words."""


@contextmanager
def telling(verbose: bool) -> Iterator[None]:
    """Context manager. If `verbose`, lines about long work and about each rung go to standard error inside it."""
    if not verbose:
        yield
        return
    handler = logging.StreamHandler(sys.stderr)
    loggers = [logging.getLogger(name) for name in LONG_WORK]
    before = [(logger.level, logger.propagate) for logger in loggers]
    try:
        for logger in loggers:
            logger.addHandler(handler)
            logger.setLevel(logging.DEBUG)
            logger.propagate = False  # otherwise a program that has a log of its own shows each line twice
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


def as_sentence(reached: Reached) -> str:
    """Return what was reached as text for a terminal."""
    sentence = "fitted: " + ", ".join(f"{name} {value}" for name, value in reached.items())
    return textwrap.fill(sentence, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def as_html(reached: Reached) -> str:
    """Return what was reached as a table for a notebook."""
    rows = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in reached.items())
    return f"<table><caption>fitted</caption>{rows}</table>"
