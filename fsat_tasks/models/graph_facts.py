"""Facts about a model in its graph's metadata, so that the file alone says what its outputs mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.models.settings import altered
from fsat_tasks.targets.registered import target_from_settings
from fsat_tasks.targets.target import Rule

if TYPE_CHECKING:
    import onnx

__all__ = ["load_graph", "set_facts"]


def load_graph(path: Path) -> onnx.ModelProto:
    """Read the graph of an exported model. Raises RegistryError if the file is none."""
    import onnx

    try:
        return onnx.load(path)
    except Exception as error:  # of protobuf or of ONNX's check of external files, which have no common class
        raise altered(path, "an ONNX graph", str(error)) from error


def set_facts(graph: onnx.ModelProto, config: Mapping[str, Any], **more: str) -> None:
    """Set the graph's metadata. It is `task`, `target`, the fields of the rule, such as `labels`, and `scope_threshold`.

    Values that are no text are written as JSON.

    Args:
        graph: an exported model. It is changed.
        config: content of the model's config.json.
        more: further facts.
    """
    from onnx.helper import set_model_props

    facts = {
        "task": config["task"],
        "target": target_from_settings(config.get("target", {})).name,
        **Rule.from_json(config).to_json(),
        "scope_threshold": config["scope_threshold"],
        **more,
    }
    set_model_props(graph, {name: _text(value) for name, value in facts.items()})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
