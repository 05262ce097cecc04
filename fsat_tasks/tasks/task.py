"""Find a task by its name, and read and check its task.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fsat_tasks.errors import TaskError
from fsat_tasks.inputs.modalities import RowFormat, find_modality
from fsat_tasks.inputs.modality import Modality
from fsat_tasks.tasks.spec import TaskSpec
from fsat_tasks.tasks.spec_errors import explain_spec
from fsat_tasks.tasks.workspace import TASK_FILE, Workspace, confine, no_file
from fsat_tasks.tasks.yaml_file import Key, read_yaml

__all__ = ["Task", "load_task"]

MOST_NAMES = 20
"""Maximum number of files that an error lists."""


@dataclass(frozen=True)
class Task:
    """A task's folder and its specification, with the run's overrides applied."""

    name: str
    folder: Path
    spec: TaskSpec
    dry_run: bool = False
    """True if the run does everything except change the champion."""
    approved: bool = False
    """True if a person has approved this run's decision in advance."""

    @property
    def modality(self) -> Modality:
        """Kind of rows of the task."""
        return find_modality(self.spec.inputs)

    def row_format(self, text: str | None = None) -> RowFormat:
        """Return how rows are read from the task's files, or from a file whose text column has another name."""
        return RowFormat(self.modality, text or self.spec.text, self.spec.validation.max_characters)

    def inputs_config(self) -> dict[str, str]:
        """Return what the recipes of read rows need to know of the modality: nothing for texts, so that old keys stay valid."""
        return {} if self.spec.inputs == "text" else {"inputs": self.spec.inputs}

    def file(self, field: str, where: str = "") -> Path | None:
        """Return the path of one of the task's files, or None if the task has no such file.

        Args:
            field: `samples`, `query`, `unlabelled` or `out_of_scope`.
            where: place of the name, for the error; by default task.yaml and the field.

        Raises:
            TaskError: if the path leads out of the task's folder or, for `unlabelled`, out of the data root.
        """
        name = getattr(self.spec, field)
        # tasks may share a file of unlabelled texts, so this file may lie anywhere in the data root
        root = self.folder.parent if field == "unlabelled" else self.folder
        return None if name is None else confine(root, name, where or f"{self.folder / TASK_FILE}: {field}", self.folder)


def load_task(name: str, overrides: Mapping[str, Any] | None = None, dry_run: bool = False, approved: bool = False) -> Task:
    """Read a task by name.

    Args:
        name: name of the task's folder in the data root.
        overrides: values that replace those of task.yaml in this run, for `shots`, `encoder`, `seed`, `device`,
            `approval`, `unlabelled` or `text`. None keeps the value of task.yaml.
        dry_run: whether to do everything except change the champion.
        approved: whether a person has approved this run's decision in advance.

    Raises:
        TaskError: if the folder does not exist, if task.yaml or a file that it names does not exist or cannot be read, or if
            a key or a value is not valid. Whatever is wrong with a task, this is the error.
    """
    folder = Workspace.from_env().task_folder(name)
    file = read_yaml(folder / TASK_FILE)
    values, replaced = _with_overrides(file.values, overrides or {})
    try:
        spec = TaskSpec.model_validate(values)
    except ValidationError as error:
        raise explain_spec(file, replaced, error) from None
    task = Task(name, folder, spec, dry_run, approved)
    for field in ("samples", "query", "unlabelled", "out_of_scope"):
        _check_file(task, field, f"{field} of this run" if (field,) in replaced else file.place((field,)))
    return task


def _with_overrides(own: Mapping[str, Any], overrides: Mapping[str, Any]) -> tuple[dict[str, Any], set[Key]]:
    """Return the values of task.yaml with those of this run in their place, and the keys that were replaced."""
    values, replaced = dict(own), set[Key]()
    for field, value in overrides.items():
        if value is None:
            continue
        if field != "encoder":
            values[field] = value
            replaced.add((field,))
        elif isinstance(encoder := values.get("encoder", {}), dict):  # otherwise validation reports the wrong type
            values["encoder"] = {**encoder, "name": value}
            replaced.add(("encoder", "name"))
    return values, replaced


def _check_file(task: Task, field: str, where: str) -> None:
    """Raise TaskError, which names `where`, if a file that task.yaml names is none."""
    path = task.file(field, where)
    if path is not None and (problem := no_file(path)) is not None:
        got = f"{getattr(task.spec, field)!r}, which {problem}"
        raise TaskError(where, f"a file in {task.folder}", got, _files_in(task.folder))


def _files_in(folder: Path) -> str:
    """Return a sentence that names the files of a task's folder, so that a mistyped name is easy to mend."""
    try:
        names = sorted(path.name for path in folder.iterdir() if path.name != TASK_FILE and no_file(path) is None)
    except OSError:  # who may enter a folder may not always list it
        return ""
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return f"Files there: {', '.join(names[:MOST_NAMES]) or 'none'}{more}."
