"""The task.yaml of a new task, with what a person may want to change in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from fsat_tasks.data.class_names import name_classes
from fsat_tasks.data.intake import Columns
from fsat_tasks.targets.target import Target
from fsat_tasks.tasks.spec import GateSpec

__all__ = ["fill_template", "quoted"]

TEMPLATE = """\
# Every key is explained in docs/task.md.
description: ""
{files}text: {text}
label: {label}
target: {target} # what a label is: one_label, several_labels, grade or number
{more}
{classes}gates: # shares; a model that misses one of them is held
{gates}
"""
ABSENT = {
    "query": "# query: query.csv # held-out rows, for the figures; without them each sample is left out in turn",
    "unlabelled": "# unlabelled: unlabelled.csv # texts as they come in",
    "out_of_scope": "# out_of_scope: outside.csv # texts that belong to none of the classes",
}
"""Key of a file that the task does not have -> what task.yaml says about it."""
CLASSES = """\
classes: # what each label means, in words: the prior of the class, worth a minute where shots are few
{classes}

"""
UNORDERED = """\
# classes: put the grades in order, the lowest first; then remove the first two characters of these lines
{classes}

"""
UNSAFE = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""Characters that JSON allows in a string as they are, and YAML does not."""


def fill_template(files: Mapping[str, str], names: Columns, target: Target, labels: list[str]) -> str:
    """Return the content of task.yaml.

    Args:
        files: key -> name of the file.
        names: columns of the files.
        labels: classes, in their order.
    """
    lines = "\n".join(f"  {quoted(label)}: {quoted(name)}" for label, name in name_classes(labels, {}).items())
    classes = CLASSES.format(classes=lines) if labels else ""
    if target.ordered and not target.order(labels):  # without an order by the user, validate refuses grades that are words
        classes = UNORDERED.format(classes="\n".join(f"# {line}" for line in lines.split("\n")))
    separator = f"separator: {quoted(target.settings()['separator'])} # between the labels of a row\n" if target.many else ""
    gates = "\n".join(f"  {bound}: {GateSpec.model_fields[bound].default}" for bound in target.bounds)
    return TEMPLATE.format(
        files="".join(f"{key}: {file}\n" for key, file in files.items()),
        text=quoted(names.text[0]),
        label=quoted(names.label or ""),
        target=target.name,
        more="".join([separator, *(f"{words}\n" for key, words in ABSENT.items() if key not in files)]),
        classes=classes,
        gates=gates,
    )


def quoted(value: str) -> str:
    """Return a text as a YAML string, which is a JSON string but for some characters."""
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))
