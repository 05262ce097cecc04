"""Create a task folder from a file of samples."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from fsat_tasks.data.class_names import name_classes
from fsat_tasks.data.readers import read_rows
from fsat_tasks.errors import DataError, StoreError, TaskError
from fsat_tasks.tasks.spec import ValidationSpec
from fsat_tasks.tasks.workspace import TASK_FILE, Workspace, check_task_name

__all__ = ["create_task"]

TEMPLATE = """\
# Every key is explained in docs/task.md.
description: ""
samples: {samples}
text: {text}
label: {label}
# query: query.jsonl            held-out rows, for the figures; without them each sample is left out in turn
# unlabelled: unlabelled.jsonl  texts as they come in
# out_of_scope: outside.jsonl   texts that belong to none of the classes

classes: # what each label means, in words: the prior of the class, worth a minute where shots are few
{classes}

gates: # shares; a model that misses one of them is held
  min_accuracy: 0.7
  min_macro_f1: 0.6
  min_class_recall: 0.2
  max_ece: 0.1
"""


def create_task(name: str, samples: Path, text: str = "text", label: str = "label") -> Path:
    """Copy the samples into a new task folder and write its task.yaml. After an error, no folder is left behind.

    Args:
        name: name of the new task.
        samples: file of labelled samples.
        text, label: names of the columns in that file.

    Returns:
        Path of the new folder.

    Raises:
        TaskError: if the name is not valid, if the task exists already, or if `samples` is
            not a .csv, .jsonl or .parquet file.
        DataError: if the samples cannot be read or have no labels.
        StoreError: if the folder cannot be written.
    """
    folder = Workspace.from_env().data / check_task_name(name)
    if folder.exists():
        raise TaskError(f"task {name!r}", "a new name", f"one that exists: {folder}", "Choose another, or edit that one.")
    if not samples.is_file() or samples.suffix not in (".csv", ".jsonl", ".parquet"):
        raise TaskError("--samples", "a .csv, .jsonl or .parquet file", f"{str(samples)!r}")
    rows = read_rows(samples, text, label, ValidationSpec().max_characters)
    labels = sorted({one for one in rows.labels if one})
    if not labels:
        raise DataError(str(samples), f"labels in the column {label!r}", "none")
    temporary = folder.with_name(f".{name}.{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        shutil.copyfile(samples, temporary / f"samples{samples.suffix}")
        (temporary / TASK_FILE).write_text(_task_file(f"samples{samples.suffix}", text, label, labels), "utf-8")
        temporary.rename(folder)
    except OSError as error:
        raise StoreError(f"data root {folder.parent}", "a folder that can be written", str(error.strerror)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _task_file(samples: str, text: str, label: str, labels: list[str]) -> str:
    """Return the content of task.yaml."""
    import json
    import re

    def quoted(value: str) -> str:
        # a JSON string is a YAML string, except for characters that YAML reads as line breaks or does not allow unescaped
        unsafe = r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]"
        return re.sub(unsafe, lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))

    classes = "\n".join(f"  {quoted(label)}: {quoted(name)}" for label, name in name_classes(labels, {}).items())
    return TEMPLATE.format(samples=samples, text=quoted(text), label=quoted(label), classes=classes)
