"""Run independent fits in parallel, each on one core.

A matrix product of a few hundred rows is no faster on several cores. So the cores are given to several fits instead.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

from fsat_tasks.runtime.machine import available_cores

__all__ = ["side_by_side"]

Result = TypeVar("Result")


def side_by_side(work: Callable[[int], Result], count: int) -> list[Result]:
    """Return the results of work(0) to work(count - 1), in order. The results do not depend on the number of cores."""
    with threadpool_limits(1), ThreadPoolExecutor(available_cores()) as pool:
        return list(pool.map(work, range(count)))
