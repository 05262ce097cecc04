"""Find a task by its name, and read and check its task.yaml."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fsat_tasks.errors import TaskError
from fsat_tasks.tasks.spec import TaskSpec
from fsat_tasks.tasks.workspace import TASK_FILE, Workspace, confine

__all__ = ["Task", "load_task"]


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

    def file(self, field: str) -> Path | None:
        """Return the path of one of the task's files, or None if the task has no such file.

        Args:
            field: `samples`, `query`, `unlabelled` or `out_of_scope`.

        Raises:
            TaskError: if the path leads out of the task's folder or, for `unlabelled`, out of the data root.
        """
        name = getattr(self.spec, field)
        # tasks may share a file of unlabelled texts, so this file may lie anywhere in the data root
        root = self.folder.parent if field == "unlabelled" else self.folder
        return None if name is None else confine(root, name, f"{self.folder / TASK_FILE}: {field}", self.folder)


def load_task(name: str, overrides: Mapping[str, Any] | None = None, dry_run: bool = False, approved: bool = False) -> Task:
    """Read a task by name.

    Args:
        name: name of the task's folder in the data root.
        overrides: values that replace those of task.yaml in this run, for `shots`, `encoder`, `seed`, `device`,
            `approval`, `unlabelled` or `text`. None keeps the value of task.yaml.
        dry_run: whether to do everything except change the champion.
        approved: whether a person has approved this run's decision in advance.

    Raises:
        TaskError: if the folder, task.yaml or a file that it names does not exist, or if a key or a value is
            not valid.
    """
    folder = Workspace.from_env().task_folder(name)
    path = folder / TASK_FILE
    values = _parse(path)
    for key, value in (overrides or {}).items():
        if value is None:
            continue
        if key != "encoder":
            values[key] = value
        elif isinstance(values.setdefault("encoder", {}), dict):  # otherwise validation reports the wrong type
            values["encoder"] = {**values["encoder"], "name": value}
    try:
        spec = TaskSpec.model_validate(values)
    except ValidationError as error:
        raise _explain(path, error) from None
    task = Task(name, folder, spec, dry_run, approved)
    for field in ("samples", "query", "unlabelled", "out_of_scope"):
        file = task.file(field)
        if file is not None and not _is_file(file):
            here = ", ".join(sorted(p.name for p in folder.iterdir() if p.is_file() and p.name != TASK_FILE))
            raise TaskError(
                f"{path}: {field}",
                f"a file in {folder}",
                f"{getattr(spec, field)!r}, which is not there",
                f"Files there: {here or 'none'}.",
            )
    return task


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # for example a name that is too long
        return False


def _parse(path: Path) -> dict[str, Any]:
    # ruamel.yaml reads YAML 1.2: a label `no` or `on` stays text, and a repeated key is an error
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise TaskError(f"{path}, line {line}", "valid YAML", str(error.problem).split("\n")[0]) from None
    except (YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise TaskError(str(path), "valid YAML in UTF-8", str(error).split("\n")[0]) from None
    if not isinstance(values, dict):
        raise TaskError(str(path), "keys and values, at least `samples: FILE`", type(values).__name__)
    return values


def _explain(path: Path, error: ValidationError) -> TaskError:
    """Return an error that explains the first problem and gives the number of further problems."""
    first, *others = error.errors()
    key = ".".join(str(part) for part in first["loc"])
    more = f"{len(others)} more problem(s) in this file." if others else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"][:-1])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f"Did you mean {close[0]!r}? {more}" if close else more
        return TaskError(f"{path}: {key}", f"one of the keys {', '.join(known)}", "an unknown key", hint.strip())
    if first["type"] == "missing":
        return TaskError(f"{path}: {key}", "this key", "nothing", more)
    expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return TaskError(f"{path}: {key}", expected, repr(first["input"]), more)


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    model: Any = TaskSpec
    for part in location:
        model = model.model_fields[str(part)].annotation
    return list(model.model_fields)
