"""Find the files that a task's `apply.files` and `watch.traffic` name. All must lie inside the data root (FSAT_DATA)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fsat_tasks.errors import TaskError
from fsat_tasks.inputs.formats import FORMATS, TABLES, file_format, one_of
from fsat_tasks.tasks.task import Task
from fsat_tasks.tasks.workspace import TASK_FILE, confine, require_file

__all__ = ["check_file", "find_files", "newest_file"]

WILD = frozenset("*?[")


def find_files(task: Task, pattern: str | None = None) -> list[Path]:
    """Return the files whose texts are to be labelled, sorted.

    If a folder or a pattern is given, hidden files and files whose format is not in FORMATS are left out. If a
    single file is given and its format is not in FORMATS, that is an error.

    Args:
        pattern: file, folder or glob pattern, relative to the task's folder; by default `apply.files` of
            task.yaml.

    Raises:
        TaskError: if there is no pattern, if a single file does not exist or its format is not in FORMATS, or if a file
            lies outside the data root.
    """
    where = "files" if pattern else f"{task.folder / TASK_FILE}: apply.files"
    pattern = pattern or task.spec.apply.files
    if pattern is None:
        raise TaskError(where, "a file, a folder or a pattern", "none", "Set it in task.yaml, or give one for this run.")
    return _resolve(task, pattern, where, FORMATS)


def newest_file(task: Task, pattern: str | None = None) -> Path:
    """Return the most recently changed file of incoming texts.

    Args:
        pattern: file, folder or glob pattern, relative to the task's folder; by default `watch.traffic` of
            task.yaml.

    Raises:
        TaskError: if no file is named or found, or if a file lies outside the data root.
    """
    where = "traffic" if pattern else f"{task.folder / TASK_FILE}: watch.traffic"
    pattern = pattern or task.spec.watch.traffic
    if pattern is None:
        raise TaskError(where, "a file of texts as they come in", "nothing", "Name one there, or give the file to fsat watch.")
    files = _resolve(task, pattern, where, TABLES)
    if not files:
        raise TaskError(where, one_of(TABLES), f"{pattern!r}, where there is none")
    return max(files, key=lambda file: (file.stat().st_mtime_ns, file.name))


def check_file(path: Path, where: str, formats: Sequence[str] = FORMATS) -> Path:
    """Return the path. Raises TaskError, which names `where`, if there is no such file or if its format is not in `formats`."""
    if file_format(require_file(path, where)) not in formats:
        raise TaskError(where, one_of(formats), repr(str(path)))
    return path


def _resolve(task: Task, pattern: str, where: str, formats: Sequence[str]) -> list[Path]:
    """Return the files that a pattern names, sorted."""
    parts = Path(pattern).parts
    fixed = next((at for at, part in enumerate(parts) if WILD & set(part)), len(parts))
    root, wild = task.folder.parent, parts[fixed:]
    base = confine(root, str(Path(*parts[:fixed])), where, task.folder)
    try:
        if not wild and not base.is_dir():
            return [check_file(base, where, formats)]
        if ".." in wild:
            raise TaskError(where, "no '..' after a wildcard", repr(pattern))
        found = (
            path for path in base.glob("/".join(wild) or "*") if file_format(path) in formats and not path.name.startswith(".")
        )
        return sorted({path for name in found if (path := confine(root, str(name), where)).is_file()})
    except (OSError, ValueError) as error:  # a name that is too long, a pattern such as `**x`
        raise TaskError(where, "a file, a folder or a pattern", f"{pattern!r}: {error}") from None
