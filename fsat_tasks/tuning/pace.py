"""Pace of fine-tuning: the log says what is planned before it starts, and once if it takes far longer.

The plan itself asks no clock (see `budget`), so a slow machine makes the same model. Only a limit that the user sets does.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["LimitReachedError", "Pace"]

log = logging.getLogger(__name__)

FAR_LONGER = 2.0
"""Ratio of the expected to the planned time above which the log says that fine-tuning is slow."""
NOTED_SECONDS = 10.0
"""Minimum difference between expected and planned time that the log speaks of."""


class LimitReachedError(Exception):
    """Fine-tuning has not ended at the time at which the user wants it to be stopped."""


@dataclass(frozen=True)
class Pace:
    """Planned time of a rung's fine-tuning."""

    rung: str
    epochs: int
    seconds: float
    """Planned seconds of training. Encoding afterwards is not in them."""
    deadline: float = math.inf
    """Time at which training is stopped, by the clock of `watch`."""

    def watch(
        self, report: Callable[[int], None], rows: int, clock: Callable[[], float] = time.monotonic
    ) -> Callable[[int], None]:
        """Return a progress callback that also logs a warning if the first epoch takes far longer than planned.

        Args:
            report: function that is called with the number of rows done so far.
            rows: number of rows in all, over all epochs.
            clock: returns seconds.

        Returns:
            a function that raises LimitReachedError after the deadline.
        """
        started: tuple[float, int] | None = None
        judged = False

        def count(done: int) -> None:
            nonlocal started, judged
            report(done)
            if self.deadline < math.inf and clock() > self.deadline:
                raise LimitReachedError
            if started is None:  # the time until the first batch is that of starting processes
                started = clock(), done
            elif not judged and (done - started[1]) * self.epochs >= rows:
                judged = True
                self._judge((clock() - started[0]) / (done - started[1]) * rows)

        return count

    def _judge(self, expected: float) -> None:
        """Say once that training takes far longer than planned.

        Args:
            expected: seconds that training takes at the pace of the first epoch.
        """
        if expected > max(FAR_LONGER * self.seconds, self.seconds + NOTED_SECONDS):
            log.warning(
                "%s: an epoch takes %.0f s, planned are %.0f s, as on a busy machine. Fine-tuning may take %.0f s in place of"
                " %.0f s. The model will be the same.",
                self.rung,
                expected / self.epochs,
                self.seconds / self.epochs,
                expected,
                self.seconds,
            )
