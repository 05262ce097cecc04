"""The texts that fsat writes for people, as Jinja templates."""

from __future__ import annotations

from typing import Any

__all__ = ["render"]


def render(name: str, **values: Any) -> str:
    """Fill a template of this folder. Values are escaped as HTML, in Markdown too; a name that is not given is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fsat_tasks", "templates"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=True,
    )  # fmt: skip
    environment.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    environment.filters["line"] = lambda text: " ".join(text.split())
    return environment.get_template(name).render(**values)
