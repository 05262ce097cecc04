"""Types of some values of task.yaml, each with its check. Airflow takes the cron lines and asset names that pass."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

__all__ = ["LARGEST_COUNT", "AssetName", "Count", "CronLine"]

LARGEST_COUNT = 10**9
"""Maximum of all numbers of rows, characters and the like."""
PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
"""Airflow's names for common schedules."""
LONGEST_CRON_LINE = 500
"""Maximum number of characters of a cron line. A line that lists all minutes has 177."""
LONGEST_ASSET_NAME = 1500
"""Maximum number of characters of an asset's name in Airflow."""


def _check_asset_name(name: str) -> str:
    """Reject names that Airflow rejects, because it would reject the whole DAG file, with the schedules of all tasks."""
    if not name.strip() or len(name) > LONGEST_ASSET_NAME or name in ("self", "context"):
        raise ValueError(f"the name of an Airflow asset: 1 to {LONGEST_ASSET_NAME} characters, and not `self` or `context`")
    return name


def _check_cron_line(line: str) -> str:
    """Reject invalid cron lines, because Airflow would reject the whole DAG file, with the schedules of all tasks."""
    if line not in PRESETS and not _is_cron_line(line):
        raise ValueError("a cron line (minute, hour, day, month, weekday), or @daily and the like")
    return line


def _is_cron_line(line: str) -> bool:
    from croniter import CroniterBadDateError, croniter

    # `strict` rejects dates such as 30 February. R is rejected, because croniter would draw a random time on each use.
    if len(line) > LONGEST_CRON_LINE or len(line.split()) != 5 or re.search(r"(^|[\s,])[rR]", line):
        return False
    if not croniter.is_valid(line, strict=True):
        return False
    try:
        croniter(line, datetime(2000, 1, 1)).get_next()
    except CroniterBadDateError:  # such as a last Friday that is one of the first five days of its month
        return False
    return True


Count = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
CronLine = Annotated[str, AfterValidator(_check_cron_line)]
AssetName = Annotated[str, AfterValidator(_check_asset_name)]
