"""Training data of chat bots: Rasa NLU, Dialogflow and Snips. Each example of an intent is a row, with its entities as words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fsat_tasks.data.formats.json_records import load_json
from fsat_tasks.data.formats.records import Record
from fsat_tasks.errors import DataError
from fsat_tasks.tasks.yaml_file import read_yaml

__all__ = ["is_dialogflow", "is_snips", "read_dialogflow", "read_rasa", "read_snips"]

ENTITY = re.compile(r"\[([^\[\]]+)\](?:\([^()]*\)|\{[^{}]*\})")
"""Entity in an example of Rasa: `[Berlin](city)` or `[Berlin]{"entity": "city"}`."""
USER_SAYS = "*_usersays_*.json"
"""Files of an export of Dialogflow that have the examples of an intent."""


def read_rasa(path: Path) -> Iterator[Record]:
    """Yield the examples of the intents in a file of Rasa NLU. Synonyms, lookups and patterns are left out."""
    for entry in _entries(path, read_yaml(path).values.get("nlu")):
        if "intent" in entry:
            examples = entry.get("examples")
            texts = re.findall(r"^[ \t]*-[ \t]*(.+)$", examples, re.MULTILINE) if isinstance(examples, str) else _texts(examples)
            for text in texts:
                yield {"text": ENTITY.sub(r"\1", text).strip(), "label": entry["intent"]}


def _entries(path: Path, value: Any) -> list[Record]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise DataError(str(path), "a file of Rasa NLU, with intents and examples under the key `nlu`", "another YAML file")
    return value


def _texts(examples: Any) -> list[str]:
    """Return the texts of examples that are a list: texts, or objects with the key `text`."""
    found = [one.get("text") if isinstance(one, dict) else one for one in (examples if isinstance(examples, list) else [])]
    return [text for text in found if isinstance(text, str)]


def is_dialogflow(folder: Path) -> bool:
    """Return whether a folder is an export of a Dialogflow agent, or its folder of intents."""
    return next(_user_says(folder), None) is not None


def _user_says(folder: Path) -> Iterator[Path]:
    for place in (folder, folder / "intents"):
        yield from sorted(place.glob(USER_SAYS))


def read_dialogflow(folder: Path) -> Iterator[Record]:
    """Yield the examples of the intents in an export of a Dialogflow agent."""
    for path in _user_says(folder):
        for example in _examples(load_json(path), str(path)):
            yield {"text": _joined(example, str(path)), "label": path.name.rsplit("_usersays_", 1)[0]}


def is_snips(document: Any) -> bool:
    """Return whether a JSON document is a data set of Snips NLU."""
    return isinstance(document, dict) and isinstance(document.get("intents"), dict) and "entities" in document


def read_snips(document: Record, where: str) -> Iterator[Record]:
    """Yield the examples of the intents in a data set of Snips NLU."""
    for intent, content in document["intents"].items():
        for example in _examples(content.get("utterances") if isinstance(content, dict) else None, where):
            yield {"text": _joined(example, where), "label": intent}


def _examples(value: Any, where: str) -> list[Record]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise DataError(where, "a list of examples of an intent", "something else")
    return value


def _joined(example: Record, where: str) -> str:
    """Return an example's parts as one text. A part is a piece of text, or an entity."""
    parts = example.get("data")
    if not isinstance(parts, list) or not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        raise DataError(where, "examples whose `data` is a list of parts with a `text`", "something else")
    return "".join(part["text"] for part in parts)
