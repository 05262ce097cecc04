"""Exports of tools in which people label texts: Label Studio, Prodigy and Argilla. Doccano's exports are plain JSON lines.

A converted record also has the columns `text` and `label`. Its label is None if nobody has labelled it, or if it was rejected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fsat_tasks.data.formats.records import Record, single

__all__ = ["TOOLS", "Tool"]

ANSWERS = ("accept", "reject", "ignore")
"""Answers of a person in Prodigy."""
MIN_COLUMNS = {"agreement", "annotation_id", "annotator", "created_at", "id", "lead_time", "updated_at"}
"""Columns of Label Studio's JSON-MIN that are neither the data nor the labels."""


class Tool(NamedTuple):
    """A tool that exports one JSON object for each text."""

    name: str
    knows: Callable[[Record], bool]
    """Returns whether a record is one of the tool's. It is asked about the first record of a file."""
    convert: Callable[[Record], Record]


def _label_studio(record: Record) -> Record:
    """Return the data and the choices of the newest annotation that was not cancelled."""
    data = _dict(record.get("data"))
    done = [one for one in _dicts(record.get("annotations") or record.get("completions")) if not one.get("was_cancelled")]
    results = _dicts(done[-1].get("result")) if done else []
    values = [_dict(result.get("value")) for result in results]
    return data | _row(data, [choice for value in values for choice in _list(value.get("choices") or value.get("rating"))])


def _label_studio_min(record: Record) -> Record:
    """Return the data, with the choices of the last control as the label."""
    own = {name: _choices(value) for name, value in record.items() if name not in MIN_COLUMNS}
    last = next(reversed(own), "")
    return own | _row({name: value for name, value in own.items() if name != last}, own.get(last))


def _choices(value: Any) -> Any:
    return value["choices"] if isinstance(value, dict) and "choices" in value else value


def _prodigy(record: Record) -> Record:
    """Return the options that were accepted, or the label that was."""
    chosen = record["accept"] if "accept" in record else record.get("label")
    return record | {"label": single(chosen) if record.get("answer") == "accept" else None}


def _argilla(record: Record) -> Record:
    """Return the first answer of a person to the first question. A record of Argilla 1 has one annotation."""
    if "fields" not in record:
        return record | {"label": single(record.get("annotation"))}
    fields = _dict(record["fields"])
    return fields | _row(fields, _argilla_response(record.get("responses")))


def _argilla_response(responses: Any) -> Any:
    if isinstance(responses, dict):  # question -> answers
        answers = _dicts(next(iter(responses.values()), None))
    else:  # answers, each with question -> value
        answers = [_dict(next(iter(_dict(one.get("values")).values()), None)) | one for one in _dicts(responses)]
    given = [answer.get("value") for answer in answers if answer.get("status", "submitted") == "submitted"]
    return given[0] if given else None


TOOLS = (
    Tool("Label Studio", lambda record: "data" in record and bool({"annotations", "completions"} & record.keys()), _label_studio),
    Tool("Label Studio JSON-MIN", lambda record: record.keys() >= {"annotation_id", "annotator"}, _label_studio_min),
    Tool("Prodigy", lambda record: record.get("answer") in ANSWERS and "_task_hash" in record, _prodigy),
    Tool("Argilla", lambda record: isinstance(record.get("fields"), dict) and "responses" in record, _argilla),
    Tool("Argilla", lambda record: record.keys() >= {"annotation", "prediction", "status"}, _argilla),
)


def _row(data: Record, label: Any) -> Record:
    """Return the label, and the text: the value `text` of the data, or else its only text."""
    texts = [value for value in data.values() if isinstance(value, str)]
    text = data["text"] if "text" in data else texts[0] if len(texts) == 1 else None
    return {**({} if text is None else {"text": text}), "label": single(label)}


def _dict(value: Any) -> Record:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _dicts(value: Any) -> list[Record]:
    return [one for one in _list(value) if isinstance(one, dict)]
