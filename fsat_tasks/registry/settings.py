"""Settings of task.yaml that two models were made with, from the recipes of the steps that made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.spec import EncoderSpec, GateSpec, TaskSpec, TuneSpec, ValidationSpec

__all__ = ["changed_settings"]

SECTIONS: dict[str, type[BaseModel]] = {
    "encoder": EncoderSpec,
    "validation": ValidationSpec,
    "tune": TuneSpec,
    "gates": GateSpec,
}
"""Section of task.yaml -> its keys. A recipe has a section as a whole, or some of its keys."""


def changed_settings(store: Store, before: Artefact, after: Artefact) -> dict[str, dict[str, Any]]:
    """Return key of task.yaml -> its values before and after, for the keys in the recipes of both models that differ.

    A key that only one of the recipes has had its default in the other. A step is left out if one of its artefacts is gone.
    """
    old, new = _recipes(store, before), _recipes(store, after)
    changed = {}
    for step in sorted({*old} & {*new}):
        was, now = (dict(_settings(recipes[step])) for recipes in (old, new))
        for key in {**was, **now}:
            values = {"before": was.get(key, _default(key)), "after": now.get(key, _default(key))}
            if values["before"] != values["after"]:
                changed[key] = values
    return dict(sorted(changed.items()))


def _recipes(store: Store, model: Artefact) -> dict[str, Mapping[str, Any]]:
    """Return step -> the settings in its recipe, for the model and the artefacts that it was made from."""
    parents = (store.find_named(reference) for reference in model.manifest["parents"].values())
    return {artefact.step: artefact.manifest["config"] for artefact in (model, *parents) if artefact is not None}


def _settings(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each key of task.yaml that a recipe has, such as `tune.budget_seconds`, with its value."""
    for name, value in config.items():
        if name == "encoder":
            yield "encoder.name", value
        elif name == "target":
            yield "target", value["name"]
            yield from ((option, value[option]) for option in ("separator", "tolerance") if option in value)
        elif name in SECTIONS:
            yield from ((f"{name}.{key}", part) for key, part in value.items())
        elif name in TaskSpec.model_fields:
            yield name, value
        elif name in TuneSpec.model_fields:
            yield f"tune.{name}", value


def _default(key: str) -> Any:
    section, _, name = key.rpartition(".")
    field = (SECTIONS[section] if section else TaskSpec).model_fields.get(name)
    return field and field.get_default(call_default_factory=True)
