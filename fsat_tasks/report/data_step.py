"""The command that gets a better model from the data: the most useful one, which stands last below the decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsat_tasks.runtime.printable import shell_command
from fsat_tasks.tasks.task import Task

__all__ = ["data_steps"]


def data_steps(task: Task, sections: Mapping[str, Any], has_champion: bool) -> tuple[tuple[str, str], ...]:
    """Return the command, and what it is for; nothing if the data give no reason.

    Suspected labels come before the weakest class, because they cost less work. A champion picks the rows to label.

    Args:
        task: the task.
        sections: section of the page -> its content.
        has_champion: whether the task has a champion.
    """
    suspects, classes, samples = sections["suspects"], sections["classes"], task.spec.samples
    if suspects and suspects["count"]:
        which = "suspected label" if suspects["count"] == 1 else f"{suspects['count']:,} suspected labels"
        return ((f"fsat run {task.name}", f"check the {which} below, correct {samples}, and run again"),)
    if not classes or classes[0]["f1"] == 1.0:
        return ()
    weakest, pool = classes[0], task.file("unlabelled")
    found = f"{round(weakest['recall'] * weakest['rows'])} of its {weakest['rows']} rows are found"
    says = f"{weakest['label']} is the weakest class: {found}"
    if pool is None or not has_champion:
        return ((f"fsat run {task.name}", f"add samples ({says}) to {samples}, and run again"),)
    return (
        (
            shell_command(["fsat", "apply", task.name, str(pool), "--out", "review"]),
            f"pick unlabelled rows that are worth a label ({says})",
        ),
    )
