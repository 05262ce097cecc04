"""Words for the errors of pydantic about task.yaml: each names the place, and says in plain words what was expected."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from fsat_tasks.errors import TaskError, did_you_mean
from fsat_tasks.tasks.spec import TaskSpec
from fsat_tasks.tasks.yaml_file import Key, YamlFile, shown

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["explain_spec"]

EXPECTED = {
    "missing": "this key",
    "string_type": "text",
    "string_too_short": "one character",
    "string_too_long": "one character",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a number that is not infinite",
    "bool_type": "true or false",
    "list_type": "a list such as [a, b]",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "literal_error": "{expected}",
    "value_error": "{error}",
}
"""Type of a pydantic error -> what was expected. The names in braces are those of the error's context."""


def explain_spec(file: YamlFile, replaced: Collection[Key], error: ValidationError) -> TaskError:
    """Return an error that explains the first problem and gives the number of further problems.

    Args:
        file: the task.yaml.
        replaced: keys whose values are those of this run, and not of the file.
    """
    first, *others = error.errors(include_url=False)
    key: Key = first["loc"]
    of_run = key in replaced
    where = f"{'.'.join(map(str, key))} of this run" if of_run else file.place(key)
    more = f"{len(others)} more problem(s) in this file." if others else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(key[:-1])
        hint = f"{did_you_mean(str(key[-1]), known)}{more}"
        return TaskError(where, f"one of the keys {', '.join(known)}", "an unknown key", hint.strip())
    bounds = {name: int(v) if isinstance(v, float) and v.is_integer() else v for name, v in first.get("ctx", {}).items()}
    expected = EXPECTED.get(first["type"], first["msg"]).format(**bounds)
    got = "nothing" if first["type"] == "missing" else (None if of_run else file.shown(key)) or shown(first["input"])
    is_plain = first["type"] == "string_type" and isinstance(first["input"], bool | int | float)
    quote = f'In quotes it is text: "{got}".' if is_plain else ""
    return TaskError(where, expected, got, f"{quote} {more}".strip())


def _known_keys(location: Key) -> list[str]:
    model: Any = TaskSpec
    for part in location:
        model = model.model_fields[str(part)].annotation
    return list(model.model_fields)
