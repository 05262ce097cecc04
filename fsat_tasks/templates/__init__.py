"""Jinja templates of the report and the model card."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["render", "source", "unbroken"]

NOT_TEXT = re.compile(r"(<(style|script|pre|code|textarea)\b.*?</\2>|<[^>]*>)", re.DOTALL)
NUMBER_AND_UNIT = re.compile(r"(?<=\d) (?=(?:%|s|ms|min|h|kB|MB|GB|points?)(?!\w))")
NO_BREAK = "\u00a0"
"""Space at which no line ends."""


def render(name: str, **values: Any) -> str:
    """Fill a template of this folder. Values are escaped as HTML, even in a Markdown template. A missing value is an error."""
    return _environment().get_template(name).render(**values)


@functools.cache  # because the environment keeps compiled templates
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fsat_tasks", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    environment.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    environment.filters["size"] = lambda count: f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
    environment.filters["breaks"] = _breaks
    return environment


def unbroken(page: str) -> str:
    """Return a page of HTML in which no line ends between a number and its unit. Tags, code, style and script stay the same."""
    done, texts = 0, []
    for tag in NOT_TEXT.finditer(page):
        texts += [NUMBER_AND_UNIT.sub(NO_BREAK, page[done : tag.start()]), tag[0]]
        done = tag.end()
    return "".join([*texts, NUMBER_AND_UNIT.sub(NO_BREAK, page[done:])])


def _breaks(label: str) -> Markup:
    """Allow line breaks in a label after its underscores, hyphens and dots."""
    from markupsafe import Markup

    return Markup("<wbr>").join(re.findall(r"[^_.-]*[_.-]+|[^_.-]+", label))


def source(name: str) -> Markup:
    """Read a style sheet or script of this folder, marked so that a template inserts it without escaping."""
    from importlib.resources import files

    from markupsafe import Markup

    return Markup(files("fsat_tasks.templates").joinpath(name).read_text("utf-8"))  # noqa: S704
