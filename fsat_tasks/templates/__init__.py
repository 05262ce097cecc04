"""The texts that fsat writes for people, as Jinja templates."""

from __future__ import annotations

from typing import Any

__all__ = ["render"]


def render(name: str, **values: Any) -> str:
    """Fill a template of this folder. Values are escaped in HTML; a name that is not given is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("fsat_tasks", "templates"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=select_autoescape(["html.j2"]),
    )  # fmt: skip
    environment.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    return environment.get_template(name).render(**values)
