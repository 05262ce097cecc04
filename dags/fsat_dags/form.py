"""Fields of the DAGs' forms, and the task that the field Task chooses.

The forms do not list the task folders. Such a list would be part of the DAG, so each new folder would make a new DAG version.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from fsat_tasks.errors import TaskError
from fsat_tasks.tasks.workspace import TASK_FILE, Workspace


def task_param(more: str = "") -> Param:
    """Return the field for a task's name. If the field is empty, the run takes the only task.

    Args:
        more: a sentence about other values that the field takes.
    """
    return Param(
        None,
        type=["null", "string"],
        minLength=1,
        maxLength=64,
        title="Task",
        description=f"The name of a folder with a {TASK_FILE} under FSAT_DATA.{more} Empty: the only task, if there is just one."
        " With any other name, the run fails at once and lists the tasks.",
    )


def text_param(title: str, length: int, description: str, **options: Any) -> Param:
    """Return a field for text of at most `length` characters. It may be empty."""
    return Param(None, type=["null", "string"], minLength=1, maxLength=length, title=title, description=description, **options)


def chosen_task(name: str | None) -> str:
    """Return the name of the task that the form chooses.

    Args:
        name: the field's value; None for the only task.

    Raises:
        TaskError: if there is no such task, or if `name` is None and the number of tasks is not one. The message lists the tasks.
    """
    workspace = Workspace.from_env()
    if name is not None:
        return workspace.task_folder(name).name
    names = workspace.task_names()
    if len(names) == 1:
        return names[0]
    there = f"Tasks there: {', '.join(names)}." if names else "Make one with: fsat init NAME --samples FILE."
    expected = f"the name of one of the {len(names)} tasks under {workspace.data}" if names else f"a task under {workspace.data}"
    raise TaskError("the form's Task", expected, "none", there)
